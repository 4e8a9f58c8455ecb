-- Who is barred, and which relays are being emptied. KEYS: edition, denied, overdrawn, draining.
-- ARGV: the edition known, seconds since 1970. Only the edition comes back where it is the one known.
local edition = redis.call('GET', KEYS[1]) or '0'
if edition == ARGV[1] then return { edition, {}, {}, {} } end
return {
  edition,
  redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[2], '+inf', 'WITHSCORES'),
  redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[2], '+inf', 'WITHSCORES'),
  redis.call('SMEMBERS', KEYS[4]),
}
