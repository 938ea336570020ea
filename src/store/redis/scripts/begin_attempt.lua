-- Counts an attempt as a failure before its answer is known.
--
-- KEYS: the counters, the known addresses
-- ARGV: failures that lock, in microseconds for how long, now, and after how long an attempt that nobody settled
--       counts as a failure; the failures in a row after which nothing but a reset helps; the lane of a known
--       device or '', the address, '1' for an account
-- Answers what came of it, the lane, and for how much longer it is locked, in microseconds
local limit, lock_for, now, abandoned = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local is_account = ARGV[8] == '1'
local lane = 'strangers'
if ARGV[6] ~= '' then
    lane = ARGV[6]
else
    local known_until = redis.call('HGET', KEYS[2], ARGV[7])
    if known_until and now < tonumber(known_until) then
        lane = 'address:' .. ARGV[7]
    end
end
if tonumber(redis.call('HGET', KEYS[1], 'in_a_row') or 0) >= tonumber(ARGV[5]) then
    return {'until_reset', lane, 0}
end
local counter = read_lane(lane, now)
if counter.pending > 0 and now - counter.begun_at > abandoned then
    counter.failures = math.min(limit, counter.failures + counter.pending)
    counter.pending = 0
    counter.locked = counter.failures >= limit
    write_lane(lane, counter)
end
if counter.locked then
    return {'locked', lane, string.format('%.0f', counter.expires_at - now)}
end
if counter.failures + counter.pending >= limit then
    return {'busy', lane, string.format('%.0f', counter.expires_at - now)}
end
counter.pending = counter.pending + 1
counter.begun_at = now
counter.expires_at = math.max(counter.expires_at, now + lock_for)
write_lane(lane, counter)
redis.call('HINCRBY', KEYS[1], 'in_a_row', 1)
keep_until(counter.expires_at, is_account, now)
-- Lanes of devices that came and went.
if redis.call('HLEN', KEYS[1]) > 64 then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        if field ~= 'in_a_row' and field ~= 'told' and read_lane(field, now).expires_at == 0 then
            redis.call('HDEL', KEYS[1], field)
        end
    end
end
return {'counted', lane, 0}
