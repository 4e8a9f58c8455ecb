-- One change of the ledger and of the set it is about. KEYS: secrets, ledger.
-- ARGV: the version it follows (0: none), the new ledger, a secret to add, a secret to remove ('': none).
local current = redis.call('GET', KEYS[2])
local version = current and cjson.decode(current).version or 0
if version ~= tonumber(ARGV[1]) then return 0 end
if ARGV[3] ~= '' then redis.call('SADD', KEYS[1], ARGV[3]) end
-- The last secret stays, whatever the ledger says: relays with an empty set refuse everybody.
if ARGV[4] ~= '' and redis.call('SCARD', KEYS[1]) > 1 then redis.call('SREM', KEYS[1], ARGV[4]) end
redis.call('SET', KEYS[2], ARGV[2])
return 1
