-- Ends the user's least recently used sessions, so that one more can begin.
--
-- KEYS: third, the user's set of sessions
-- ARGV: sixth and seventh: how many sessions there may be, and until when the tokens of those that end are revoked
--       in milliseconds
local ended = {}
local most = tonumber(ARGV[6])
if redis.call('ZCARD', KEYS[3]) >= most then
    local alive = {}
    for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
        local used = redis.call('HGET', 'portcullis:session:' .. id, 'rotated_at')
        if used then
            table.insert(alive, {tonumber(used), id})
        else
            redis.call('ZREM', KEYS[3], id)
        end
    end
    table.sort(alive, function(one, other)
        return one[1] < other[1] or one[1] == other[1] and one[2] < other[2]
    end)
    for place = 1, #alive - most + 1 do
        end_session(alive[place][2], tonumber(ARGV[7]))
        table.insert(ended, alive[place][2])
    end
end
