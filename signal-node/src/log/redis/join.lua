-- join <peer> <key hash> <try> <socket> <node> <user or ~> <cap> <own cap or ~> <per subject> <position or ~>
--      <grace µs> <1 if who is away for longer goes first> <silent nodes> <1 if a loss is fresh> <meta> <1 if a living member keeps its own>
--      <life of the room ms>

-- Tells whether everything after `position` can be replayed to a member that is one since `origin`.
local function recovery(position, origin)
  if position == '~' or tonumber(position) < tonumber(origin) then return 'snapshot' end
  if tonumber(position) == head then return 'replay' end
  local found = redis.call('XRANGE', L, position, '+', 'COUNT', 1)[1]
  if not found then return 'snapshot' end
  local prev, start = string.match(found[2][2], '^b (%d+) (%d+) ')
  local at = tonumber(position)
  if tonumber(start) <= at or tonumber(prev) == at then return 'replay' end
  return 'snapshot'
end

-- Answers from what is stored, so that a repeated call is answered as the first one was.
local function joined(peer, me, all)
  local roster = {}
  for id, m in each(all) do
    if id ~= peer and (me.recovery ~= 'new' or m.n < me.n) then
      roster[#roster + 1] = line(id, m)
    end
  end
  return { 'joined', me.joined, me.base, int(me.n), me.origin, me.recovery, int(claim(peer).mid), roster }
end

-- Tells whether a subject may not come in, and not come back either.
local function banned(user)
  local ban = user ~= '~' and redis.call('HGET', H, 'b:' .. user)
  return ban and tonumber(ban) > now
end

local function refusal(all, user, cap, own_cap, per_subject, grace)
  if redis.call('HGET', H, 'locked') == '1' then return { 'locked' } end
  local count, same, next_seat = 0, 0, nil
  for _, m in pairs(all) do
    count = count + 1
    if user ~= '~' and m.user == user then same = same + 1 end
    if m.away > 0 then next_seat = math.min(next_seat or math.huge, math.max(0, m.away + grace - now)) end
  end
  cap = tonumber(redis.call('HGET', H, 'cap') or cap)
  if own_cap ~= '~' then cap = math.min(cap, tonumber(own_cap)) end
  if count >= cap then return { 'full', int(cap), next_seat and int(next_seat) or '~' } end
  if same >= tonumber(per_subject) then return { 'too_many' } end
end

local function enter(peer, m, resumed, mid, meta)
  local text = table.concat({ 'j', peer, int(m.n), m.node, resumed and 'resume' or 'new', m.user }, ' ')
  m.base, m.away = int(head), 0
  m.joined = int(append(sized(text, meta)))
  m.origin = m.origin or m.joined
  hold(peer, m.joined, mid)
  write_member(peer, m)
end

local function rejoin(peer, m, all, key, try, socket, node, user, position, meta, keeps)
  if m.key ~= key or m.user ~= user then return { 'forbidden' } end
  try = tonumber(try)
  if try < m.try or (try == m.try and socket ~= m.socket) then return { 'held' } end
  if try > m.try then
    m.node, m.socket, m.try, m.recovery = node, socket, try, recovery(position, m.origin)
    if keeps == '1' or meta == m.meta then meta = '' end
    if meta ~= '' then m.meta = meta end
    enter(peer, m, true, claim(peer).mid, meta)
  end
  return joined(peer, m, all)
end

-- Tells whether the member may be put back yet: it has seen more than there is, or others are being put back.
local function mending(known, position, waits)
  if waits ~= '1' or position == '~' then return false end
  return (not known and tonumber(position) > head) or now < tonumber(redis.call('HGET', H, 'mend') or '0')
end

steps.join = { 17, function(peer, key, try, socket, node, user, cap, own_cap, per_subject, position,
                           grace, expires, silent, waits, meta, keeps, life)
  grace, renewed = tonumber(grace), life
  local all = members()
  if mending(all[peer], position, waits) then return { 'mending' } end
  if banned(user) then return { 'forbidden' } end
  suspect(all, silent)
  if expires == '1' then expire(all, grace) end
  if all[peer] then
    return rejoin(peer, all[peer], all, key, try, socket, node, user, position, meta, keeps)
  end
  local refused = refusal(all, user, cap, own_cap, per_subject, grace)
  if refused then return refused end
  local n = redis.call('HINCRBY', H, 'n', 1)
  local m = {
    n = n, node = node, socket = socket, try = tonumber(try), user = user, key = key, recovery = 'new', meta = meta,
  }
  enter(peer, m, false, 0, meta)
  return joined(peer, m, all)
end }
