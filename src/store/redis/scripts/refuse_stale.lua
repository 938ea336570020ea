-- Answers the lowest version of the user's tokens that still counts, and does nothing more, if the session has
-- an older one.
--
-- KEYS: second, the user's revoked version
-- ARGV: fifth, the session's version
local below = tonumber(redis.call('GET', KEYS[2]))
if below and tonumber(ARGV[5]) < below then
    return {string.format('%.0f', below), {}}
end
