-- kick <peer> <ban µs>: a ban is of the subject, and removes every member of it; an anonymous member has none.
steps.kick = { 2, function(peer, ban)
  local m = member(peer)
  if not m then return { 'refused', 'peer_not_found' } end
  ban = tonumber(ban)
  if ban == 0 or m.user == '~' then return { 'appended', int(remove(peer, m, 'kicked')) } end
  configure('b:' .. m.user, int(now + ban), ban)
  -- Every seat of the subject goes; there are as many as members_per_sub.
  for _, due in ipairs(due_members(function(_, _, user) return user == m.user end)) do remove(due.id, due.m, 'kicked') end
  return { 'appended', int(last) }
end }

-- configure <cap or ~> <1, 0 or ~>
steps.configure = { 2, function(cap, locked)
  if cap ~= '~' then configure('cap', cap, REMEMBERED) end
  if locked ~= '~' then configure('locked', locked, REMEMBERED) end
  return { 'settled' }
end }

-- advance <from>: F holds the number.
steps.advance = { 1, function(from)
  local number = tonumber(redis.call('HGET', F, 'number') or '1')
  if number == tonumber(from) then
    number = number + 1
    remember('number', int(number), REMEMBERED)
  end
  return { 'number', int(number) }
end }

-- announce <to or *> <its key or ~> <data>: a signal of the server's own. Where it has a key, F holds the number of the first
-- one. So does ONCE, for nodes of version 0.1.0, unless a slot of a cluster is moving: then it can only be found with the
-- others if it exists.
steps.announce = { 3, function(to, key, data)
  local before = ONCE and redis.call('GET', ONCE)
  local field = 'i:' .. key
  if key ~= '~' then before = before or string.match(redis.call('HGET', F, field) or '', '^%d+') end
  if before then return { 'appended', before } end
  if to ~= '*' and not redis.call('HGET', M, to) then return { 'refused', 'peer_not_found' } end
  if redis.call('HLEN', M) == 0 then return { 'gone', int(last) } end
  local seq = int(append(sized('t ' .. to, data)))
  if ONCE then redis.call('SET', ONCE, seq, 'PX', int(REMEMBERED / 1000)) end
  if key ~= '~' then remember(field, seq .. ' ' .. int(now + REMEMBERED), REMEMBERED) end
  return { 'appended', seq }
end }

-- look: how the room is.
steps.look = { 0, function()
  return {
    'room', int(last), configured('cap') or '~', configured('locked') or '0', int(now), members(),
  }
end }
