-- Removes a session, if it is still there, and revokes its access tokens. 1 if it was there.
local function end_session(id, revoked_until_ms)
    local key = 'portcullis:session:' .. id
    revoke(REVOKED .. 'sid:' .. id, 1, revoked_until_ms)
    local user = redis.call('HGET', key, 'user_id')
    if not user then
        return 0
    end
    redis.call('DEL', key)
    redis.call('ZREM', 'portcullis:sessions:' .. user, id)
    return 1
end

