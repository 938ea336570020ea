-- KEYS: what to revoke
-- ARGV: the value, until when in milliseconds
revoke(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]))
return 1
