-- KEYS: at the end, the user's set of sessions
-- ARGV: the session's id, and in milliseconds: its start, its idle end, its latest end
local index = KEYS[#KEYS]
redis.call('ZREMRANGEBYSCORE', index, '-inf', ARGV[2])
redis.call('ZADD', index, ARGV[4], ARGV[1])
local last = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', index, string.format('%.0f', tonumber(last[2])))
