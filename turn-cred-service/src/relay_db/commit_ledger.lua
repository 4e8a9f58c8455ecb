-- Replaces the ledger and changes the set in one step; 0 if the version differs. KEYS: secrets, ledger.
-- ARGV: expected version (0: no ledger), new ledger, secret to add, secret to remove ('': none).
local current = redis.call('GET', KEYS[2])
local version = current and cjson.decode(current).version or 0
if version ~= tonumber(ARGV[1]) then return 0 end
if ARGV[3] ~= '' then redis.call('SADD', KEYS[1], ARGV[3]) end
-- Never remove the last secret, whatever the ledger says: with an empty set, relays reject every credential.
if ARGV[4] ~= '' and redis.call('SCARD', KEYS[1]) > 1 then redis.call('SREM', KEYS[1], ARGV[4]) end
redis.call('SET', KEYS[2], ARGV[2])
return 1
