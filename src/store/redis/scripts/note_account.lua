-- Updates the copy of the account within a session, unless that is gone, belongs to other credentials, or has a
-- copy of a later version. A session from before credentials were noted gets them while it has the account's
-- version.
--
-- KEYS: the session
-- ARGV: username, roles, version, credentials, email (or nothing)
local held = redis.call('HMGET', KEYS[1], 'version', 'credentials')
local version, credentials = tonumber(held[1]), tonumber(held[2]) or 0
if not version or version > tonumber(ARGV[3]) then
    return 0
end
if credentials ~= tonumber(ARGV[4]) and (credentials ~= 0 or version ~= tonumber(ARGV[3])) then
    return 0
end
redis.call('HSET', KEYS[1], 'username', ARGV[1], 'roles', ARGV[2], 'version', ARGV[3], 'credentials', ARGV[4])
if ARGV[5] then
    redis.call('HSET', KEYS[1], 'email', ARGV[5])
else
    redis.call('HDEL', KEYS[1], 'email')
end
return 1
