-- ARGV: the session's id, until when its tokens are revoked in milliseconds
return end_session(ARGV[1], tonumber(ARGV[2]))
