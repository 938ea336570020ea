-- Counts a failed login. Answers 1 for the failure that locks the name.
--
-- KEYS: the name's count
-- ARGV: failures that lock, and in microseconds: for how long, now
local limit, lock_for, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'failures', 'locked', 'expires_at')
local failures = 0
if held[3] and now < tonumber(held[3]) then
    if held[2] == '1' then
        return 0
    end
    failures = tonumber(held[1])
end
failures = failures + 1
local locks = failures >= limit and 1 or 0
local expires_at = now + lock_for
redis.call('HSET', KEYS[1], 'failures', failures, 'locked', locks, 'expires_at', string.format('%.0f', expires_at))
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(expires_at / 1000)))
return locks
