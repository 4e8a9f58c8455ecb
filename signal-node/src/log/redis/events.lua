-- The queue of events of one room, as endpoints read it.
--
-- KEYS[1] {room}:w  stream  events, as `prelude.lua` appends them, each in the field e; of the replays, letters in the field r
-- KEYS[2] {room}:d  hash    <endpoint> = "<position> <attempts> <pause until ms> <node that sends or ~> <until ms>"
-- ARGV: a verb, the endpoint, the node, and what the verb says.
local W, D = KEYS[1], KEYS[2]
local verb, endpoint, node = ARGV[1], ARGV[2], ARGV[3]

-- How long a queue waits at most after a failed attempt, in ms (log::LONGEST_PAUSE). A clock that was set back prolongs no
-- wait beyond it.
local LONGEST_PAUSE = 3600000

local function int(x) return string.format('%.0f', x) end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function read(of)
  local line = redis.call('HGET', D, of) or ''
  local position, attempts, pause, sender, lease = string.match(line, '^(%d+%-%d+) (%d+) (%d+) (%S+) (%d+)$')
  if not position then return { position = '0-0', attempts = '0', pause = 0, sender = '~', lease = 0 } end
  return { position = position, attempts = attempts, pause = tonumber(pause), sender = sender, lease = tonumber(lease) }
end

local function write(state)
  redis.call('HSET', D, endpoint, table.concat({
    state.position, state.attempts, int(state.pause), state.sender, int(state.lease),
  }, ' '))
  redis.call('PEXPIRE', D, math.max(redis.call('PTTL', W), 1000))
end

local function parts(position)
  local at, n = string.match(position, '^(%d+)%-(%d+)$')
  return tonumber(at), tonumber(n)
end

local function is_before(one, other)
  local at, n = parts(one)
  local other_at, other_n = parts(other)
  return at < other_at or (at == other_at and n < other_n)
end

local function after(position, count) return redis.call('XRANGE', W, '(' .. position, '+', 'COUNT', count) end

-- take <lease ms> <limit>
if verb == 'take' then
  local lease = tonumber(ARGV[4])
  local state = read(endpoint)
  local pause = math.min(state.pause - now, LONGEST_PAUSE)
  local held = state.sender ~= node and math.min(state.lease - now, lease) or 0
  if math.max(pause, held) > 0 then return { 'later', int(math.max(pause, held)) } end
  local events = after(state.position, ARGV[5])
  if #events == 0 then return { 'nothing' } end
  state.sender, state.lease = node, now + lease
  write(state)
  return { 'events', state.attempts, events }
end

-- finish <position or ~> <attempts> <pause ms> <life of an empty queue ms> <endpoint> …: what was delivered counts, whoever sends now.
local state = read(endpoint)
if ARGV[4] ~= '~' and is_before(state.position, ARGV[4]) then state.position = ARGV[4] end
if state.sender == node then
  state.attempts, state.pause, state.sender, state.lease = ARGV[5], now + ARGV[6], '~', 0
end
write(state)
local first = state.position
for i = 8, #ARGV do
  local position = read(ARGV[i]).position
  if is_before(position, first) then first = position end
end
local at, n = parts(first)
redis.call('XTRIM', W, 'MINID', int(at) .. '-' .. int(n + 1))
if redis.call('XLEN', W) > 0 then return #after(state.position, 1) end
-- The stream stays for as long as its room, so that all keys of the room are there while its slot moves.
redis.call('PEXPIRE', W, ARGV[7])
local fields = redis.call('HGETALL', D)
for i = 1, #fields, 2 do redis.call('HDEL', D, fields[i]) end
return 0
