-- What a counted attempt turned out to be.
--
-- KEYS: the counters, the known addresses
-- ARGV: 'wrong', 'given_back' or 'right'; the lane; failures that lock, in microseconds for how long, and now; the
--       failures in a row after which nothing but a reset helps; '1' for an account; the address to know from now
--       on or '', until when, and how many are known at most
-- Answers 'lane' or 'all' for the failure that locks these, else ''
local outcome, lane = ARGV[1], ARGV[2]
local limit, lock_for, now, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local is_account = ARGV[7] == '1'
local counter = read_lane(lane, now)
local locks = ''

-- Nothing is left of attempts that were cleared, or that took longer than the counter lives.
local was_counted = counter.pending > 0
counter.pending = math.max(0, counter.pending - 1)
if outcome == 'wrong' then
    local in_a_row = tonumber(redis.call('HGET', KEYS[1], 'in_a_row') or 0)
    if not was_counted then
        in_a_row = redis.call('HINCRBY', KEYS[1], 'in_a_row', 1)
    end
    counter.failures = counter.failures + 1
    counter.expires_at = math.max(counter.expires_at, now + lock_for)
    if counter.failures >= limit and not counter.locked then
        counter.locked = true
        locks = 'lane'
    end
    write_lane(lane, counter)
    if in_a_row >= most and redis.call('HSETNX', KEYS[1], 'told', '1') == 1 then
        locks = 'all'
    end
    keep_until(counter.expires_at, is_account, now)
    return locks
end
local function write_what_is_left()
    if counter.failures + counter.pending > 0 then
        write_lane(lane, counter)
    else
        redis.call('HDEL', KEYS[1], lane)
    end
    if redis.call('EXISTS', KEYS[1]) == 1 then
        keep_until(math.max(counter.expires_at, now + lock_for), is_account, now)
    end
end
if outcome == 'given_back' then
    if was_counted then
        local in_a_row = tonumber(redis.call('HGET', KEYS[1], 'in_a_row') or 0)
        if in_a_row > 1 then
            redis.call('HSET', KEYS[1], 'in_a_row', in_a_row - 1)
        else
            redis.call('HDEL', KEYS[1], 'in_a_row')
        end
        write_what_is_left()
    end
    return ''
end
redis.call('HDEL', KEYS[1], 'in_a_row', 'told')
-- A success doesn't lift what strangers have come to, since it may be the owner's first one from there.
if lane ~= 'strangers' then
    counter.failures, counter.locked = 0, false
end
write_what_is_left()
if ARGV[8] ~= '' then
    redis.call('HSET', KEYS[2], ARGV[8], ARGV[9])
    while redis.call('HLEN', KEYS[2]) > tonumber(ARGV[10]) do
        local oldest, oldest_until
        local all = redis.call('HGETALL', KEYS[2])
        for at = 1, #all, 2 do
            local known_until = tonumber(all[at + 1])
            if not oldest or known_until < oldest_until then
                oldest, oldest_until = all[at], known_until
            end
        end
        redis.call('HDEL', KEYS[2], oldest)
    end
    redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', math.ceil(tonumber(ARGV[9]) / 1000)))
end
return ''
