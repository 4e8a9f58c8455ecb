-- Reads denials, subjects over budget and draining relays. KEYS: edition, denied, overdrawn, draining.
-- ARGV: known edition, Unix seconds. Returns only the edition if it equals the known one.
local edition = redis.call('GET', KEYS[1]) or '0'
if edition == ARGV[1] then return { edition, {}, {}, {} } end
return {
  edition,
  redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[2], '+inf', 'WITHSCORES'),
  redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[2], '+inf', 'WITHSCORES'),
  redis.call('SMEMBERS', KEYS[4]),
}
