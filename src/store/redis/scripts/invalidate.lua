-- Adds to the log of purges that one answer no longer holds. That is removed as well, so only the newest such
-- entries are kept.
--
-- KEYS: the stream, the ids of its entries of this kind in their order
-- ARGV: the answer's key, and for how many milliseconds at most an answer is kept
-- Answers the entry's id.
local MOST = 4096

local id = redis.call('XADD', KEYS[1], '*', 'answer', ARGV[1])
if redis.call('RPUSH', KEYS[2], id) > MOST then
    redis.call('XDEL', KEYS[1], redis.call('LPOP', KEYS[2]))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return id
