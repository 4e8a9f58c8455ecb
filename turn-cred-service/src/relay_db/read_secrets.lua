-- Reads the secrets of a realm at one moment. KEYS: secrets, ledger, pseudonym key.
-- ARGV: a random key, stored if there is no pseudonym key yet.
redis.call('SET', KEYS[3], ARGV[1], 'NX')
return {
  redis.call('SMEMBERS', KEYS[1]),
  redis.call('GET', KEYS[2]) or '',
  redis.call('GET', KEYS[3]),
  redis.call('TIME')[1],
}
