-- One call: some steps for one room, all or none, appended and published as one batch.
--
-- KEYS[1] {room}:h  hash    seq (head of the log), n (joins so far), mend (until when members may be restored, µs), left (the
--                           last who left, see `remember_left`), run (the server that passed over numbers last, see
--                           `first_number`), and of each member:
--                           "g:<peer>" = "<generation> <last mid>" (beside seq, so that a signal touches one hash),
--                           "r:<peer>" = " <mid>:<code> …" the refusals among its last messages,
--                           "x:<peer>" = its generation at a reset, until its node confirms that it holds the member,
--                           "o:<peer>" = what "g:<peer>" was when KEYS[2] was lost, for a restore of the member.
--                           "p:<socket>" = its last post, see `post.lua`; "c:<call>" = a call, see `calls.lua`.
--                           Copies of the fields of KEYS[4] for nodes of version 0.1.0, which look for them here
-- KEYS[2] {room}:m  hash    <peer> = "<n> <node> <socket> <try> <away since µs or 0> <user or ~> <key hash>
--                           <joined> <base> <recovery> <origin>\n<meta>", where joined and origin are the
--                           entries of the last join and of the first one, base the head before the last one
-- KEYS[3] {room}:l  stream  id = number of the batch's last entry; field b = the batch
-- KEYS[4] {room}:f  hash    what is remembered, and outlives the members: cap, locked, "b:<sub>" = end of a ban in µs,
--                           "i:<key>" = "<number of its entry> <until µs>" of an announcement with a key
-- {room}:w  stream  only where events are stored for webhooks (ARGV[5]), see `events.lua`
-- {room}:i:<key>  string, only of an announcement with a key, the last one: the number of its entry, as version 0.1.0 keeps it
-- ARGV[1] SPUBLISH or PUBLISH; ARGV[2] the highest number that the caller has seen; ARGV[3] the channel {room}:c, which is
-- no key; ARGV[4] the life of the room in ms; ARGV[5] which events are stored, room, calls or ~ for none; ARGV[6] for how many
-- ms; then the steps, each its name and its own fixed number of arguments.
-- Answers one array per step: its outcome and what belongs to it; or { 'behind', head } where the caller has seen
-- more than there is, and nothing was done.
--
-- `data` and `meta` are opaque bytes here. Numbers have 16 digits: only int() may write them. Lists of unknown length go
-- through in_slices(), since unpack() fails at about 8,000 values, after half of the work.

-- How many messages of a member may be without an answer (limits::UNACKED).
local UNACKED = 256

-- How long nodes may restore their members after a reset, in µs (log::RESTORE_WINDOW).
local RESTORE_WINDOW = 5000000

-- How long the node of a suspected member has at least to reclaim it, in µs (log::RECLAIM_WINDOW).
local RECLAIM_WINDOW = 2000000

-- How late a join may arrive, in µs (log::JOIN_VALID_FOR).
local JOIN_VALID_FOR = 8000000

-- How long the count of a sender's posts is kept, in µs (log::POSTS_REMEMBERED).
local POSTS_REMEMBERED = 60000000

-- How long a configuration is kept, in µs (log::REMEMBERED).
local REMEMBERED = 86400000000

-- How many members one step suspects or removes (log::MEMBERS_PER_STEP); the caller repeats it for the others.
local MEMBERS_PER_STEP = 256

-- How many of the last who left are remembered (log::LEFT_REMEMBERED).
local LEFT_REMEMBERED = 64

-- How far the clock may be behind the numbers of a room before a server asks whether it may have lost entries, in µs
-- (log::CLOCK_BEHIND).
local CLOCK_BEHIND = 1000000

-- How many numbers such a server passes over at least (log::PASSED_OVER): more than a room gives between two snapshots.
local PASSED_OVER = 1000000

-- And how many more at most, by its clock in µs (log::PASSED_OVER_BY_CLOCK): two servers that begin with the same snapshot, one after
-- the other, pass over to different numbers.
local PASSED_OVER_BY_CLOCK = 16000000

-- How many members a room takes, whatever is configured (limits::ROOM_CAPACITY).
local ROOM_CAPACITY = 1000

-- How many events a queue holds (log::EVENTS_PER_QUEUE).
local EVENTS_PER_QUEUE = 10000

local H, M, L, F = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local W = ARGV[5] ~= '~' and KEYS[5]
local ONCE = KEYS[W and 6 or 5]
local C, life = ARGV[3], ARGV[4]

local function int(x) return string.format('%.0f', x) end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local seen = tonumber(ARGV[2])
local stored = redis.call('HGET', H, 'seq')
local head = tonumber(stored or '0')
local first, last = nil, head
local entries = {}
local dirty = {}

-- The number of the last entry in a stream whose hash is lost, and whose clock was set back: the stream takes none before it.
local tail = 0
if not stored then
  for _, entry in ipairs(redis.call('XRANGE', L, int(math.max(seen, now)), '+')) do
    tail = tonumber(string.match(entry[1], '^%d+'))
  end
end

-- Whether one of the keys that end together is missing while another is there: the room has lost something by itself.
local has_members = redis.call('HLEN', M) > 0
local is_lost = has_members and not stored
if stored and not has_members then
  for _, field in ipairs(redis.call('HGETALL', H)) do is_lost = is_lost or string.sub(field, 1, 2) == 'g:' end
end

-- Calls `command` with a list of any length, in slices.
local function in_slices(command, key, list)
  for i = 1, #list, 1000 do redis.call(command, key, unpack(list, i, math.min(i + 999, #list))) end
end

-- For how long something has been so, since a moment that may lie in the future: clocks are set back.
local function since(moment) return math.max(0, now - moment) end

-- Returns the number of this call's first entry: from the clock in µs, so that it passes a lost history, and behind what the
-- caller has seen. Where the clock is behind the room, numbers go on one by one, and a server that has lost the last entries
-- (with a snapshot, as a replica that was behind) would give their numbers again. So each server passes over some once.
local function first_number()
  local next_one = math.max(head, seen, tail) + 1
  if next_one <= now + CLOCK_BEHIND then return math.max(next_one, now) end
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if redis.call('HGET', H, 'run') == run then return next_one end
  redis.call('HSET', H, 'run', run)
  return next_one + PASSED_OVER + now % PASSED_OVER_BY_CLOCK
end

-- Appends one entry and returns its number.
local function append(text)
  if not first then
    first = first_number()
    last = first
  else
    last = last + 1
  end
  entries[#entries + 1] = text
  return last
end

-- What back ends are told of, stored with the entries of this call.
local events = {}

local function emit(kind, ...)
  if ARGV[5] == kind then events[#events + 1] = table.concat({ ... }, ' ') end
end

local function sized(text, payload)
  return text .. ' ' .. #payload .. '\n' .. payload
end

-- "<generation> <last mid>" of the members met in this call; false: no such claim.
local claims = {}

local function read_claim(text)
  local generation, mid = string.match(text, '^(%d+) (%d+)$')
  return { generation = generation, mid = tonumber(mid) }
end

local function claim(peer)
  local known = claims[peer]
  if known ~= nil then return known end
  local text = redis.call('HGET', H, 'g:' .. peer)
  known = text and read_claim(text) or false
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

-- All members as they are stored, { <peer>, <line>, … }, read once until one of them changes.
local roster

local function members()
  roster = roster or redis.call('HGETALL', M)
  return roster
end

local function write_member(peer, m)
  roster = nil
  redis.call('HSET', M, peer, table.concat({
    int(m.n), m.node, m.socket, int(m.try), int(m.away), m.user, m.key, m.joined, m.base, m.recovery, m.origin,
  }, ' ') .. '\n' .. m.meta)
end

local function member(peer)
  local text = redis.call('HGET', M, peer)
  return text and read_member(text)
end

-- Returns the node, the time since when it is away, and the subject of a member, without the cost of read_member().
local function brief(text)
  local node, away, user = string.match(text, '^%d+ (%S+) %S+ %d+ (%d+) (%S+)')
  return node, tonumber(away), user
end

-- Returns the members for which `is_due(node, away, user)` holds, in the order of their ids, so that the same call writes the same
-- entries; at most MEMBERS_PER_STEP of them. Tells whether there are more.
local function due_members(is_due)
  local flat, ids, texts = members(), {}, {}
  for i = 1, #flat, 2 do
    local node, away, user = brief(flat[i + 1])
    if is_due(node, away, user) then
      ids[#ids + 1] = flat[i]
      texts[flat[i]] = flat[i + 1]
    end
  end
  table.sort(ids)
  local due = {}
  for i = 1, math.min(#ids, MEMBERS_PER_STEP) do due[i] = { id = ids[i], m = read_member(texts[ids[i]]) } end
  return due, #ids > MEMBERS_PER_STEP
end

-- Returns the claim and the member, or nil and the outcome for a caller that does not hold it: `replaced` by a later
-- join, or only `suspected`. A claim without a member is gone.
local function claimed(peer, generation)
  local known, m = claim(peer), member(peer)
  if not known or not m then return nil, { 'gone', int(last) } end
  if known.generation == generation then return known, m end
  if tonumber(generation) < tonumber(m.joined) then return nil, { 'replaced', int(last) } end
  return nil, { 'suspected', known.generation }
end

-- Consumes `mid` if it is the next one; otherwise returns the outcome. After a reset a member waits until its node has confirmed
-- or restored it: only the node knows what was settled before the loss, and a late copy of a message would be told twice.
local function settle(peer, generation, mid)
  local known, outcome = claimed(peer, generation)
  if not known then return outcome end
  if redis.call('HGET', H, 'x:' .. peer) == generation then return { 'mending' } end
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

-- Whether the call has appended a reset, and whether it prolongs the life of the room.
local was_reset, prolongs = false, false

local steps = {}
