-- Writes what is revoked and what is lifted, and raises the version.
--
-- KEYS[1] revoked  hash  <name> = until when it is revoked, in Unix seconds; or "-<until>" where that was lifted, which is kept
--                        for as long, so that no node takes it for lost; version = rises with every change
-- ARGV pairs of <name> and what is to stand there.
-- Answers the new version, and how many of the names were revoked before.
local clock = redis.call('TIME')
local now, micros = tonumber(clock[1]), clock[1] * 1000000 + clock[2]

local revoked = 0
for i = 1, #ARGV, 2 do
  local before = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  if before and before > now then revoked = revoked + 1 end
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end

-- What is over is of no use to anybody.
local flat, over = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #flat, 2 do
  local ends = flat[i] ~= 'version' and tonumber(flat[i + 1])
  if ends and math.abs(ends) <= now then over[#over + 1] = flat[i] end
end
for i = 1, #over, 1000 do redis.call('HDEL', KEYS[1], unpack(over, i, math.min(i + 999, #over))) end

-- From the clock, so that a list that has lost its last changes does not come to a version again that it had.
local version = math.max(tonumber(redis.call('HGET', KEYS[1], 'version') or '0') + 1, micros)
version = string.format('%.0f', version)
redis.call('HSET', KEYS[1], 'version', version)
return { version, revoked }
