-- One call: some steps for one room, all or none, appended and published as one batch.
--
-- KEYS[1] {room}:h  hash    seq, n, cap, locked, "b:<sub>" = end of a ban in µs,
--                           "g:<peer>" = "<generation> <last mid>" (beside seq, so that a signal touches one hash)
-- KEYS[2] {room}:m  hash    <peer> = "<n> <node> <socket> <try> <away since µs or 0> <user or ~> <key hash>
--                           <generation> <base> <recovery>\n<meta>"
-- KEYS[3] {room}:l  stream  id = number of the batch's last entry; field b = the batch
-- KEYS[4] {room}:c  channel the batch as it is appended
-- ARGV[1] SPUBLISH or PUBLISH; then the steps, each its name and its own fixed number of arguments.
-- Answers one array per step: its outcome and what belongs to it.
--
-- `data` and `meta` are opaque bytes here. Numbers have 16 digits: only int() may write them.

local H, M, L, C = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function int(x) return string.format('%.0f', x) end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local head = tonumber(redis.call('HGET', H, 'seq') or '0')
local first, last = nil, head
local entries = {}
local dirty = {}

-- Appends one entry and returns its number: from the clock in µs, so that it passes a lost history.
local function append(text)
  if not first then
    first = math.max(head + 1, now)
    last = first
  else
    last = last + 1
  end
  entries[#entries + 1] = text
  return last
end

local function sized(text, payload)
  return text .. ' ' .. #payload .. '\n' .. payload
end

-- "<generation> <last mid>" of the members met in this call; false: no such member.
local claims = {}

local function claim(peer)
  local known = claims[peer]
  if known ~= nil then return known end
  local text = redis.call('HGET', H, 'g:' .. peer)
  if text then
    local generation, mid = string.match(text, '^(%d+) (%d+)$')
    known = { generation = generation, mid = tonumber(mid) }
  else
    known = false
  end
  claims[peer] = known
  return known
end

local function hold(peer, generation, mid)
  claims[peer] = { generation = generation, mid = mid }
  dirty[peer] = true
end

-- Returns the claim, or nil and the outcome for a caller that does not hold it.
local function claimed(peer, generation)
  local known = claim(peer)
  if not known then return nil, { 'gone' } end
  if known.generation ~= generation then return nil, { 'replaced' } end
  return known
end

-- Consumes `mid` if it is the next one; otherwise returns the outcome.
local function settle(peer, generation, mid)
  local known, outcome = claimed(peer, generation)
  if not known then return outcome end
  if mid <= known.mid then return { 'settled' } end
  if mid ~= known.mid + 1 then return { 'out_of_order', int(known.mid + 1) } end
  known.mid = mid
  dirty[peer] = true
end

local MEMBER = '^(%d+) (%S+) (%S+) (%d+) (%d+) (%S+) (%S+) (%d+) (%d+) (%S+)\n(.*)$'

local function read_member(text)
  local n, node, socket, try, away, user, key, generation, base, recovery, meta = string.match(text, MEMBER)
  return {
    n = tonumber(n), node = node, socket = socket, try = tonumber(try), away = tonumber(away), user = user,
    key = key, generation = generation, base = base, recovery = recovery, meta = meta,
  }
end

local function write_member(peer, m)
  redis.call('HSET', M, peer, table.concat({
    int(m.n), m.node, m.socket, int(m.try), int(m.away), m.user, m.key, m.generation, m.base, m.recovery,
  }, ' ') .. '\n' .. m.meta)
end

local function member(peer)
  local text = redis.call('HGET', M, peer)
  return text and read_member(text)
end

local function members()
  local flat = redis.call('HGETALL', M)
  local all = {}
  for i = 1, #flat, 2 do all[flat[i]] = read_member(flat[i + 1]) end
  return all
end

-- Ends a membership and says why: left, timeout or kicked.
local function remove(peer, reason)
  redis.call('HDEL', M, peer)
  redis.call('HDEL', H, 'g:' .. peer)
  claims[peer] = false
  dirty[peer] = nil
  return append('l ' .. peer .. ' ' .. reason .. ' 0\n')
end

-- Removes the members that have been away for `grace` µs; returns those that stay.
local function expire(grace)
  local all = members()
  for peer, m in pairs(all) do
    if m.away > 0 and m.away + grace <= now then
      remove(peer, 'timeout')
      all[peer] = nil
    end
  end
  return all
end

-- Keeps the room's keys for `life` ms from now, or longer where a ban asks for it.
local function prolong(life)
  for i = 1, 3 do
    if redis.call('PTTL', KEYS[i]) == -1 then redis.call('PEXPIRE', KEYS[i], life) end
    redis.call('PEXPIRE', KEYS[i], life, 'GT')
  end
end

-- Set by a join: how long the room's keys are to live, in ms.
local renewed

local steps = {}
