-- What a follower of the revocations hasn't read yet.
--
-- KEYS: the stream
-- ARGV: the id of the last entry it has read, how many entries at most
-- Answers the id it has to be taken to stand at, and the entries after that. A stream that is gone,
--       or that ends before the id, isn't the one it has read: it starts again at the beginning.
local START = '0-0'

local function is_after(id, other)
    local ms, number = string.match(id, '^(%d+)-(%d+)$')
    local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
    ms, number, other_ms, other_number = tonumber(ms), tonumber(number), tonumber(other_ms), tonumber(other_number)
    return ms > other_ms or (ms == other_ms and number > other_number)
end

if redis.call('EXISTS', KEYS[1]) == 0 then
    return {START, {}}
end
local about = redis.call('XINFO', 'STREAM', KEYS[1])
local read = ARGV[1]
for field = 1, #about, 2 do
    if about[field] == 'last-generated-id' and is_after(read, about[field + 1]) then
        read = START
    end
end
local streams = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], read)
return {read, streams and streams[1][2] or {}}
