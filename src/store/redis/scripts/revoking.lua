-- Keys tell whether one thing is revoked; the stream tells every gateway what was. Both are written
-- here and only here, in one step. What their names are, STREAM and REVOKED, stands before.
-- How many of the oldest entries are looked at with each new one: more than one, so that the stream
-- shrinks after a flood of logouts.
local OLDEST = 16
-- A revocation that is prolonged lasts to the next multiple of this, so that repeating it over and
-- over adds few entries.
local PROLONGED_BY_MS = 10000

-- Removes what has expired. Never an entry before its own time.
local function trim(now_ms)
    for _, entry in ipairs(redis.call('XRANGE', STREAM, '-', '+', 'COUNT', OLDEST)) do
        local until_ms = tonumber(entry[2][8])
        if until_ms and until_ms <= now_ms then
            redis.call('XDEL', STREAM, entry[1])
        end
    end
end

-- Appends to the stream, which lives as long as its longest-lived entry.
local function announce(key, value, until_ms, now_ms)
    local kind, id = string.match(string.sub(key, #REVOKED + 1), '^(%a+):(.+)$')
    redis.call('XADD', STREAM, '*', 'kind', kind, 'id', id, 'value', value, 'until', until_ms)
    local left_ms = redis.call('PTTL', STREAM)
    if left_ms < 0 or now_ms + left_ms < tonumber(until_ms) then
        redis.call('PEXPIREAT', STREAM, until_ms)
    end
    trim(now_ms)
end

-- Revokes under `key` until `until_ms`; neither the value nor the time ever goes back.
local function revoke(key, value, until_ms)
    local time = redis.call('TIME')
    local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    local held = tonumber(redis.call('GET', key))
    if held then
        local held_until_ms = now_ms + redis.call('PTTL', key)
        if value <= held and until_ms <= held_until_ms then
            return
        end
        value = math.max(value, held)
        until_ms = math.max(held_until_ms, math.ceil(until_ms / PROLONGED_BY_MS) * PROLONGED_BY_MS)
    elseif until_ms <= now_ms then
        return
    end
    value, until_ms = string.format('%.0f', value), string.format('%.0f', until_ms)
    redis.call('SET', key, value)
    redis.call('PEXPIREAT', key, until_ms)
    announce(key, value, until_ms, now_ms)
end

