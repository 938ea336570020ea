-- Forgets how many failures there were in a row; the counters of strangers and others stay.
--
-- KEYS: the counters
redis.call('HDEL', KEYS[1], 'in_a_row', 'told')
local last = 0
for _, text in ipairs(redis.call('HVALS', KEYS[1])) do
    last = math.max(last, tonumber(string.match(text, '(%d+)$')))
end
if last > 0 then
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(last / 1000)))
end
