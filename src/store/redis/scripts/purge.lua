-- Adds a purge to the log.
--
-- KEYS: the stream
-- ARGV: what is purged, and for how many milliseconds at most an answer is kept: a purge is needed
--       as long as answers from before it may be there
-- Beyond so many, everything is purged, which says it all in one entry. Up to half of them may be about single
-- answers: see invalidate.lua.
local MOST = 8192

local id = redis.call('XADD', KEYS[1], '*', 'what', ARGV[1])
local now_ms = tonumber(string.match(id, '^(%d+)-'))
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', now_ms - tonumber(ARGV[2])))
if redis.call('XLEN', KEYS[1]) > MOST then
    redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', 'what', '"everything"')
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
