-- KEYS: the user's set of sessions
-- ARGV: until when their tokens are revoked in milliseconds
-- Answers how many sessions were still there.
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    ended = ended + end_session(id, tonumber(ARGV[1]))
end
redis.call('DEL', KEYS[1])
return ended
