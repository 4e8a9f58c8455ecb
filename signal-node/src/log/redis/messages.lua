-- The steps that are nearly all of the traffic: signals that follow what is stored, in as many rooms as have some.
-- In each room all of them take effect, or nothing does and main.lua has to be asked, which knows every other case.
--
-- KEYS, two for each room: {room}:h, {room}:l, as prelude.lua describes them
-- ARGV[1] SPUBLISH or PUBLISH; then for each room: the channel {room}:c; the highest number that the caller has seen; how
-- many entries; the entries; how many senders; how many receivers; then for each sender its field "g:<peer>", what has to
-- stand in it and what is to stand in it; then the fields of receivers, which have to be there. A room has 128 of both at
-- most (append_queue.rs), which unpack() carries.
-- Answers for each room the number of the first entry, or false, or what is wrong with its keys.

-- How far the clock may be behind the numbers of a room, in µs (log::CLOCK_BEHIND): main.lua knows which ones to pass over.
local CLOCK_BEHIND = 1000000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function append(hash, stream, at)
  local channel = ARGV[at]
  at = at + 1
  local seen, count, senders, receivers = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 3], ARGV[at + 4]
  local named = at + 4 + 3 * senders
  local fields, changes = { 'seq' }, {}
  for i = at + 5, named, 3 do
    fields[#fields + 1] = ARGV[i]
    changes[#changes + 1] = ARGV[i]
    changes[#changes + 1] = ARGV[i + 2]
  end
  for i = named + 1, named + receivers do fields[#fields + 1] = ARGV[i] end
  local there = #fields
  -- A sender that no node has confirmed since a reset: its messages wait.
  for i = 2, senders + 1 do fields[#fields + 1] = 'x' .. string.sub(fields[i], 2) end

  local stored = redis.call('HMGET', hash, unpack(fields))
  for i = 1, senders do
    if stored[i + 1] ~= ARGV[at + 3 + 3 * i] then return false end
  end
  for i = senders + 2, #fields do
    if (stored[i] == false) == (i <= there) then return false end
  end
  local head = tonumber(stored[1])
  if head < seen or head + 1 > now + CLOCK_BEHIND then return false end

  local first = math.max(head + 1, now)
  local last = string.format('%d', first + count - 1)
  first = string.format('%d', first)
  local batch = 'b ' .. stored[1] .. ' ' .. first .. ' ' .. count .. '\n' .. ARGV[at + 2]
  -- A stream that is lost is made anew by main.lua, with an end.
  if not redis.call('XADD', stream, 'NOMKSTREAM', last .. '-0', 'b', batch) then return false end
  redis.call('HSET', hash, 'seq', last, unpack(changes))
  redis.call(ARGV[1], channel, batch)
  return first
end

local answers, at = {}, 2
for room = 1, #KEYS, 2 do
  -- What is wrong with one room is nothing to the others.
  local is_fine, answer = pcall(append, KEYS[room], KEYS[room + 1], at)
  if not is_fine and type(answer) == 'table' then answer = answer.err end
  answers[#answers + 1] = answer
  at = at + 6 + 3 * ARGV[at + 4] + ARGV[at + 5]
end
return answers
