-- Takes or renews a lease; 0 while another process holds it. KEYS: lease. ARGV: process id, validity (ms).
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
