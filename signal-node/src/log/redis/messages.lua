-- The steps that are nearly all of the traffic: signals that follow what is stored. All of them take effect, or
-- nothing does and main.lua has to be asked, which knows every other case.
--
-- KEYS[1] {room}:h, KEYS[2] {room}:l, KEYS[3] {room}:c, as prelude.lua describes them
-- ARGV[1] SPUBLISH or PUBLISH; ARGV[2] the highest number that the caller has seen; ARGV[3] how many entries;
-- ARGV[4] the entries; ARGV[5] how many senders; then for each its field "g:<peer>", what has to stand in it
-- and what is to stand in it; then the fields of receivers, which have to be there.
-- Answers the number of the first entry, or false.
local senders = tonumber(ARGV[5])
local fields, changes = { 'seq' }, {}
for at = 6, 5 + 3 * senders, 3 do
  fields[#fields + 1] = ARGV[at]
  changes[#changes + 1] = ARGV[at]
  changes[#changes + 1] = ARGV[at + 2]
end
for at = 6 + 3 * senders, #ARGV do fields[#fields + 1] = ARGV[at] end

local stored = redis.call('HMGET', KEYS[1], unpack(fields))
for i = 1, senders do
  if stored[i + 1] ~= ARGV[4 + 3 * i] then return false end
end
for i = senders + 2, #fields do
  if not stored[i] then return false end
end
local head, seen = tonumber(stored[1]), tonumber(ARGV[2])
if head < seen then return false end

local clock = redis.call('TIME')
local first = math.max(head + 1, clock[1] * 1000000 + clock[2])
local last = string.format('%.0f', first + ARGV[3] - 1)
first = string.format('%.0f', first)
local batch = 'b ' .. stored[1] .. ' ' .. first .. ' ' .. ARGV[3] .. '\n' .. ARGV[4]
redis.call('HSET', KEYS[1], 'seq', last, unpack(changes))
redis.call('XADD', KEYS[2], last .. '-0', 'b', batch)
redis.call(ARGV[1], KEYS[3], batch)
return first
