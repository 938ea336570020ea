-- KEYS: the session
-- ARGV: the session's id, and in milliseconds: its start, its idle end, its latest end; its version; what
--       bounds its user's sessions, twice; then the fields and values of the session
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 8))
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
