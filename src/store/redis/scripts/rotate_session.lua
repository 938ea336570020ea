-- Presents a refresh token's generation.
--
-- KEYS: the session
-- ARGV: the session's id, the generation, and in microseconds: window, idle time, now; and until
--       when its tokens are revoked if it has to end, in milliseconds; who presents it: address and
--       device, either of them may be empty
-- Answers 'unknown', or 'rotated', 'repeated' or 'reused' and the session's values in the order of
--       FIELDS in src/store/redis/sessions.rs
local presented = tonumber(ARGV[2])
local window, idle, now = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function answer(outcome)
    return {outcome, redis.call('HMGET', KEYS[1], 'user_id', 'username', 'email', 'roles', 'version',
        'generation', 'created_at', 'rotated_at', 'idle_until', 'ends_at', 'address', 'user_agent', 'amr',
        'credentials', 'last_address', 'last_device')}
end

-- Notes who presented the newest generation.
local function note(field, value)
    if value == '' then
        redis.call('HDEL', KEYS[1], field)
    else
        redis.call('HSET', KEYS[1], field, value)
    end
end

-- Whether the same asks again, since it never got the answer.
local function asked_before(field, value)
    return value ~= '' and redis.call('HGET', KEYS[1], field) == value
end

local held = redis.call('HMGET', KEYS[1], 'generation', 'rotated_at', 'idle_until', 'ends_at')
local generation, rotated_at = tonumber(held[1]), tonumber(held[2])
local idle_until, ends_at = tonumber(held[3]), tonumber(held[4])
if not generation or now >= idle_until or now >= ends_at then
    return {'unknown'}
end
if presented < 1 or presented > generation then
    return {'unknown'}
end
if presented == generation then
    idle_until = math.min(now + idle, ends_at)
    redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', generation + 1),
        'rotated_at', ARGV[5], 'idle_until', string.format('%.0f', idle_until))
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(idle_until / 1000)))
    note('last_address', ARGV[7])
    note('last_device', ARGV[8])
    return answer('rotated')
end
if presented == generation - 1 then
    local is_again = asked_before('last_address', ARGV[7]) or asked_before('last_device', ARGV[8])
    if is_again or now - rotated_at <= window then
        return answer('repeated')
    end
end
-- In a cluster the revocation has another slot: there, end_session does nothing, and the caller does it.
local reused = answer('reused')
end_session(ARGV[1], tonumber(ARGV[6]))
return reused
