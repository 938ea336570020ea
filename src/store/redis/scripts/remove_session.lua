-- KEYS: the session
-- Answers whose it was; nothing if it isn't there.
local user = redis.call('HGET', KEYS[1], 'user_id')
redis.call('DEL', KEYS[1])
return user
