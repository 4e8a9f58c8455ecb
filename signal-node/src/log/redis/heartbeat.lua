-- KEYS[1] nodes  hash  node id → how often its heart has beaten
-- ARGV[1] the node; ARGV[2] 1 if it beats.
-- Answers this server's clock in µs, and all counters. One script: who reads has beaten, or is told why not.
if ARGV[2] == '1' then redis.call('HINCRBY', KEYS[1], ARGV[1], 1) end
local clock = redis.call('TIME')
return { string.format('%.0f', clock[1] * 1000000 + clock[2]), redis.call('HGETALL', KEYS[1]) }
