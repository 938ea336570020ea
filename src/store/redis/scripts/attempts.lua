-- What is counted for one account, or for one name that no account has. Each of its counters (a lane: strangers,
-- or a device or an address that signed in) is a field of the hash:
-- failures:attempts under way:locked:when the last attempt began:when the counter is forgotten
local function read_lane(lane, now)
    local held = redis.call('HGET', KEYS[1], lane)
    local failures, pending, locked, begun_at, expires_at
    if held then
        failures, pending, locked, begun_at, expires_at = string.match(held, '^(%d+):(%d+):(%d):(%d+):(%d+)$')
    end
    if not failures or now >= tonumber(expires_at) then
        return {failures = 0, pending = 0, locked = false, begun_at = 0, expires_at = 0}
    end
    return {failures = tonumber(failures), pending = tonumber(pending), locked = locked == '1',
        begun_at = tonumber(begun_at), expires_at = tonumber(expires_at)}
end

local function write_lane(lane, counter)
    local text = string.format('%d:%d:%d:%.0f:%.0f', counter.failures, counter.pending,
        counter.locked and 1 or 0, counter.begun_at, counter.expires_at)
    redis.call('HSET', KEYS[1], lane, text)
end

-- Of an account, the failures in a row stay until a success or a reset, or until a year has gone by without an
-- attempt. All else goes with its lane.
local YEAR = 365 * 24 * 60 * 60 * 1000000
local function keep_until(expires_at, is_account, now)
    if is_account and tonumber(redis.call('HGET', KEYS[1], 'in_a_row') or 0) > 0 then
        expires_at = math.max(expires_at, now + YEAR)
    end
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(expires_at / 1000)))
end
