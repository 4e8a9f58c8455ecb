-- One call: some steps for one room, all or none, appended and published as one batch.
--
-- KEYS[1] {room}:h  hash    seq, n, cap, locked, mend (until when members may be put back, µs), "b:<sub>" = end of a ban in µs,
--                           "g:<peer>" = "<generation> <last mid>" (beside seq, so that a signal touches one hash),
--                           "r:<peer>" = "<mid>:<code> …" the refusals among its last messages
-- KEYS[2] {room}:m  hash    <peer> = "<n> <node> <socket> <try> <away since µs or 0> <user or ~> <key hash>
--                           <joined> <base> <recovery> <origin>\n<meta>", where joined and origin are the
--                           entries of the last join and of the first one, base the head before the last one
-- KEYS[3] {room}:l  stream  id = number of the batch's last entry; field b = the batch
-- KEYS[4] {room}:c  channel the batch as it is appended
-- KEYS[5] {room}:i:<key>  string, only of an announcement with a key: the number of its entry
-- ARGV[1] SPUBLISH or PUBLISH; ARGV[2] the highest number that the caller has seen; then the steps, each its
-- name and its own fixed number of arguments. Answers one array per step: its outcome and what belongs to it;
-- or { 'behind', head } where the caller has seen more than there is, and nothing was done.
--
-- `data` and `meta` are opaque bytes here. Numbers have 16 digits: only int() may write them.

-- How many messages of a member may be without an answer (limits::UNACKED).
local UNACKED = 256

local H, M, L, C = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function int(x) return string.format('%.0f', x) end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local head = tonumber(redis.call('HGET', H, 'seq') or '0')
local seen = tonumber(ARGV[2])
local first, last = nil, head
local entries = {}
local dirty = {}

-- Appends one entry and returns its number: from the clock in µs, so that it passes a lost history, and
-- behind what the caller has seen.
local function append(text)
  if not first then
    first = math.max(head + 1, seen + 1, now)
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

local MEMBER = '^(%d+) (%S+) (%S+) (%d+) (%d+) (%S+) (%S+) (%d+) (%d+) (%S+) (%d+)\n(.*)$'

local function read_member(text)
  local n, node, socket, try, away, user, key, joined, base, recovery, origin, meta = string.match(text, MEMBER)
  return {
    n = tonumber(n), node = node, socket = socket, try = tonumber(try), away = tonumber(away), user = user,
    key = key, joined = joined, base = base, recovery = recovery, origin = origin, meta = meta,
  }
end

local function write_member(peer, m)
  redis.call('HSET', M, peer, table.concat({
    int(m.n), m.node, m.socket, int(m.try), int(m.away), m.user, m.key, m.joined, m.base, m.recovery, m.origin,
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

-- Returns the claim, or nil and the outcome for a caller that does not hold it: `replaced` by a later join,
-- or only `suspected`.
local function claimed(peer, generation)
  local known = claim(peer)
  if not known then return nil, { 'gone', int(last) } end
  if known.generation == generation then return known end
  if tonumber(generation) < tonumber(member(peer).joined) then return nil, { 'replaced', int(last) } end
  return nil, { 'suspected', known.generation }
end

-- Consumes `mid` if it is the next one; otherwise returns the outcome.
local function settle(peer, generation, mid)
  local known, outcome = claimed(peer, generation)
  if not known then return outcome end
  if mid <= known.mid then
    local refusals = redis.call('HGET', H, 'r:' .. peer)
    local code = refusals and string.match(refusals, ' ' .. int(mid) .. ':(%S+)')
    if code then return { 'refused', code } end
    return { 'settled' }
  end
  if mid ~= known.mid + 1 then return { 'out_of_order', int(known.mid + 1) } end
  known.mid = mid
  dirty[peer] = true
end

-- Refuses a message for good, and keeps that for as long as the message may be repeated.
local function refuse(peer, mid, code)
  local kept = { ' ' .. int(mid) .. ':' .. code }
  for old, why in string.gmatch(redis.call('HGET', H, 'r:' .. peer) or '', ' (%d+):(%S+)') do
    if tonumber(old) > mid - UNACKED then kept[#kept + 1] = ' ' .. old .. ':' .. why end
  end
  redis.call('HSET', H, 'r:' .. peer, table.concat(kept))
  return { 'refused', code }
end

-- Ends a membership and says why: left, timeout or kicked.
local function remove(peer, reason)
  redis.call('HDEL', M, peer)
  redis.call('HDEL', H, 'g:' .. peer, 'r:' .. peer)
  claims[peer] = false
  dirty[peer] = nil
  return append('l ' .. peer .. ' ' .. reason .. ' 0\n')
end

-- Walks members in the order of their ids, so that the same call writes the same entries.
local function each(all)
  local ids, at = {}, 0
  for id in pairs(all) do ids[#ids + 1] = id end
  table.sort(ids)
  return function()
    at = at + 1
    return ids[at], all[ids[at]]
  end
end

-- One line of a roster.
local function line(peer, m)
  return { peer, m.node, int(m.n), m.user, m.away > 0 and int(now - m.away) or '~', m.meta }
end

-- Removes those of `all` that have been away for `grace` µs.
local function expire(all, grace)
  for peer, m in each(all) do
    if m.away > now then
      -- The clock was set back.
      m.away = now
      write_member(peer, m)
    end
    if m.away > 0 and m.away + grace <= now then
      remove(peer, 'timeout')
      all[peer] = nil
    end
  end
end

-- Marks those of `all` away whose nodes are silent, since it is certain: "<node>=<µs ago>,…". That raises
-- their generation, so that what their nodes may still say is worth nothing.
local function suspect(all, silent)
  local since = {}
  for node, ago in string.gmatch(silent, '([^=,]+)=(%d+)') do since[node] = tonumber(ago) end
  for peer, m in each(all) do
    local ago = since[m.node]
    if ago and m.away == 0 then
      m.away = now - ago
      write_member(peer, m)
      hold(peer, int(append('a ' .. peer .. ' ' .. int(ago) .. ' 0\n')), claim(peer).mid)
    end
  end
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
