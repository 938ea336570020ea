-- KEYS: what to revoke
-- ARGV: the value, until when in milliseconds
for _, key in ipairs(KEYS) do
    revoke(key, tonumber(ARGV[1]), tonumber(ARGV[2]))
end
return 1
