-- Updates the copy of the account within a session that still exists.
--
-- KEYS: the session
-- ARGV: username, roles, version, email (or nothing)
if redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
redis.call('HSET', KEYS[1], 'username', ARGV[1], 'roles', ARGV[2], 'version', ARGV[3])
if ARGV[4] then
    redis.call('HSET', KEYS[1], 'email', ARGV[4])
else
    redis.call('HDEL', KEYS[1], 'email')
end
return 1
