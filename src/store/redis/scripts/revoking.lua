-- Revokes under `key` until `until_ms`; neither the value nor the time ever goes back.
local function revoke(key, value, until_ms)
    local held = tonumber(redis.call('GET', key))
    if held then
        local time = redis.call('TIME')
        local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
        value = math.max(value, held)
        until_ms = math.max(until_ms, now_ms + redis.call('PTTL', key))
    end
    redis.call('SET', key, string.format('%.0f', value))
    redis.call('PEXPIREAT', key, string.format('%.0f', until_ms))
end

