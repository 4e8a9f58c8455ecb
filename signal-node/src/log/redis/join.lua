-- join <peer> <key hash> <try> <socket> <node> <user or ~> <cap> <own cap or ~> <per subject> <position or ~>
--      <grace µs> <1 if who is away for longer goes first> <silent nodes> <as of µs> <valid for µs> <1 if a loss is fresh>
--      <asked at µs or ~> <meta> <1 if a living member keeps its own> <members that lock the room or ~>
--      <last message that the client knows to be settled or ~>

-- Tells what comes to a client that is at `position`, of a member that is one since `origin`. A client that was in the room
-- before `origin` was never told of this membership: an earlier copy of its join has begun it.
local function recovery(position, origin)
  if position == '~' then return 'snapshot' end
  if tonumber(position) < tonumber(origin) then return 'new' end
  if tonumber(position) == head then return 'replay' end
  local found = redis.call('XRANGE', L, position, '+', 'COUNT', 1)[1]
  if not found then return 'snapshot' end
  local prev, start = string.match(found[2][2], '^b (%d+) (%d+) ')
  local at = tonumber(position)
  if tonumber(start) <= at or tonumber(prev) == at then return 'replay' end
  return 'snapshot'
end

-- Answers from what is stored, so that a repeated call is answered as the first one was. The roster goes as it is stored,
-- in one piece: a Lua loop over it would cost more than all the rest of a join into a large room.
local function joined(peer, me)
  local refusals = me.recovery ~= 'new' and redis.call('HGET', H, 'r:' .. peer)
  return {
    'joined', me.joined, me.base, int(me.n), me.origin, me.recovery, int(claim(peer).mid), refusals or '', peer,
    int(now), members(),
  }
end

local function seats(user)
  local flat = members()
  local count, same, next_free = #flat / 2, 0, nil
  for i = 2, #flat, 2 do
    local _, away, of = brief(flat[i])
    if user ~= '~' and of == user then same = same + 1 end
    if away > 0 then next_free = math.min(next_free or math.huge, math.min(away, now)) end
  end
  return count, same, next_free
end

local function refusal(user, cap, own_cap, per_subject, grace)
  if configured('locked') == '1' then return { 'locked' } end
  local count, same, next_free = seats(user)
  cap = math.min(tonumber(configured('cap') or cap), ROOM_CAPACITY)
  if own_cap ~= '~' then cap = math.min(cap, tonumber(own_cap)) end
  if count >= cap then
    return { 'full', int(cap), next_free and int(math.max(0, next_free + grace - now)) or '~' }
  end
  if same >= tonumber(per_subject) then return { 'too_many' } end
end

local function enter(peer, m, resumed, mid, meta)
  local text = table.concat({ 'j', peer, int(m.n), m.node, resumed and 'resume' or 'new', m.user }, ' ')
  m.base, m.away = int(head), 0
  m.joined = int(append(sized(text, meta)))
  m.origin = m.origin or m.joined
  hold(peer, m.joined, mid)
  write_member(peer, m)
  redis.call('HDEL', H, 'x:' .. peer)
end

-- Tells whether a join arrives after its client was answered, or across a step of the clock. A copy of one that took effect
-- is known by its number, however late it is.
local function is_late(asked_at) return asked_at ~= '~' and is_stale(asked_at, JOIN_VALID_FOR) end

-- A client that does not count its joins says 0 (Join::NEXT): over the socket that is stored it is a repeated call.
local function attempt_after(try, last_try, same_socket)
  if try ~= '0' then return tonumber(try) end
  return same_socket and last_try or last_try + 1
end

-- A client that comes back may have seen more than the log holds, or have had more messages acknowledged than the log knows. Either
-- shows that the room has lost its last writes. A reset tells the others before this client says more: otherwise they would get
-- messages twice, or miss some, without being told. A client is believed only while a loss may be fresh: what it says is no proof.
local function tell_loss(peer, position, settled, waits)
  local has_seen_more = position ~= '~' and tonumber(position) > head
  local has_said_more = settled ~= '~' and tonumber(settled) > claim(peer).mid
  if waits == '1' and (has_seen_more or has_said_more) then steps.reset[2]() end
end

-- Returns the last message of a member in the stream, or 0. No payload holds such a line: in JSON, no line begins with a name and
-- a space.
local function last_said(peer, m)
  local name = string.gsub(peer, '%-', '%%-')
  local patterns = { '\n[sS] ' .. name .. ' %S+ (%d+) ', '\nu ' .. name .. ' (%d+) ' }
  local last_mid, from = 0, '+'
  repeat
    local page = redis.call('XREVRANGE', L, from, m.origin, 'COUNT', 100)
    for _, entry in ipairs(page) do
      for _, pattern in ipairs(patterns) do
        for mid in string.gmatch(entry[2][2], pattern) do last_mid = math.max(last_mid, tonumber(mid)) end
      end
    end
    from = #page > 0 and '(' .. page[#page][1]
  until last_mid > 0 or not from
  return last_mid
end

-- A member whose claim no node has restored in time, since its node is gone or cut off: its client knows what is settled, and the
-- stream holds what was said since.
local function hold_again(peer, m, key, user, settled)
  if settled == '~' or m.key ~= key or m.user ~= user or redis.call('EXISTS', L) == 0 then return end
  claims[peer] = { generation = m.joined, mid = math.max(tonumber(settled), last_said(peer, m)) }
end

local function rejoin(peer, m, key, try, socket, node, user, position, settled, waits, asked_at, meta, keeps)
  if m.key ~= key or m.user ~= user then return { 'forbidden' } end
  try = attempt_after(try, m.try, socket == m.socket)
  if try < m.try or (try == m.try and socket ~= m.socket) then return { 'held' } end
  if try > m.try then
    if is_late(asked_at) then return { 'stale' } end
    tell_loss(peer, position, settled, waits)
    m.node, m.socket, m.try, m.recovery = node, socket, try, recovery(position, m.origin)
    if keeps == '1' or meta == m.meta then meta = '' end
    if meta ~= '' then m.meta = meta end
    enter(peer, m, true, claim(peer).mid, meta)
  end
  return joined(peer, m)
end

-- Tells whether the member may be restored yet: it has seen more than there is, others are being restored, or its claim is
-- lost. Whoever is no member waits until all are restored, or would take the seat of one that is connected.
local function waits_for_restore(peer, m, position, waits)
  if not m or not claim(peer) then
    return is_mending() or (not m and waits == '1' and position ~= '~' and tonumber(position) > head)
  end
  return waits == '1' and position ~= '~' and is_mending()
end

steps.join = { 21, function(peer, key, try, socket, node, user, cap, own_cap, per_subject, position,
                           grace, expires, silent, as_of, valid_for, waits, asked_at, meta, keeps, seals_at, settled)
  grace, prolongs = tonumber(grace), true
  local m = member(peer)
  if is_lost or waits_for_restore(peer, m, position, waits) then return { 'mending' } end
  take_away_unconfirmed()
  -- A ban also stands at each resume.
  if user ~= '~' and banned_until(user) > now then return { 'forbidden' } end
  if not is_stale(as_of, valid_for) then
    if expires == '1' then expire(grace) end
    suspect(silent, grace)
  end
  m = member(peer)
  if m and not claim(peer) then hold_again(peer, m, key, user, settled) end
  if m and claim(peer) then
    return rejoin(peer, m, key, try, socket, node, user, position, settled, waits, asked_at, meta, keeps)
  end
  -- Nobody knows its count of messages: it begins anew.
  if m then remove(peer, m, 'timeout') end
  local ended = has_left(peer, try, socket)
  -- A leave in this very call is known to the caller. Nobody holds the member: a client that waits for this asks again.
  if ended and ended <= head and seen < ended then return { 'gone', int(ended) } end
  if is_late(asked_at) then return { 'stale' } end
  if not stored then share_configuration() end
  local refused = refusal(user, cap, own_cap, per_subject, grace)
  if refused then return refused end
  forget_left(peer, try, socket)
  if #members() == 0 then emit('room', 'room.started') end
  emit('room', 'peer.joined', peer, user)
  m = {
    n = redis.call('HINCRBY', H, 'n', 1), node = node, socket = socket, try = attempt_after(try, 0, false), user = user, key = key,
    recovery = 'new', meta = meta,
  }
  enter(peer, m, false, 0, meta)
  if seals_at ~= '~' and #members() / 2 >= tonumber(seals_at) then configure('locked', '1', REMEMBERED) end
  return joined(peer, m)
end }
