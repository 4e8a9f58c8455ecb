-- Which nodes attend to which queues of events.
--
-- KEYS[1] {webhooks:queues}:z  sorted set  name of the queue → until when some node attends to it, in ms
-- ARGV: a verb, and what it says.
local Z = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function int(x) return string.format('%.0f', x) end

local function attend(names, time)
  local until_then = int(now + time)
  for _, name in ipairs(names) do redis.call('ZADD', Z, until_then, name) end
  return until_then
end

-- attend <ms> <name> …
if ARGV[1] == 'attend' then return { attend({ unpack(ARGV, 3) }, ARGV[2]) } end

-- forget <until ms> <name>: unless somebody attends to it for longer.
if ARGV[1] == 'forget' then
  local score = redis.call('ZSCORE', Z, ARGV[3])
  if score and tonumber(score) <= tonumber(ARGV[2]) then redis.call('ZREM', Z, ARGV[3]) end
  return {}
end

-- take_over <ms> <limit>. A time that lies further ahead than any node says is from before the clock was set back.
local names = redis.call('ZRANGEBYSCORE', Z, '-inf', int(now), 'LIMIT', 0, ARGV[3])
local ahead = redis.call('ZRANGEBYSCORE', Z, int(now + 10 * ARGV[2]), '+inf', 'LIMIT', 0, ARGV[3])
for _, name in ipairs(ahead) do names[#names + 1] = name end
return { attend(names, ARGV[2]), names }
