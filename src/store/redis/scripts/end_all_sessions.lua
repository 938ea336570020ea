-- KEYS: the user's set of sessions
-- ARGV: until when their tokens are revoked in milliseconds
-- Answers how many sessions were still there, and the ids of all that were revoked.
local ended = 0
local ids = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, id in ipairs(ids) do
    ended = ended + end_session(id, tonumber(ARGV[1]))
end
redis.call('DEL', KEYS[1])
return {ended, ids}
