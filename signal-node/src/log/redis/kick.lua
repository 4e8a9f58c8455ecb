-- kick <peer> <ban µs>: a ban is of the subject; an anonymous member has none.
steps.kick = { 2, function(peer, ban)
  local m = member(peer)
  if not m then return { 'refused', 'peer_not_found' } end
  ban = tonumber(ban)
  if ban > 0 and m.user ~= '~' then configure('b:' .. m.user, int(now + ban), ban) end
  return { 'appended', int(remove(peer, m, 'kicked')) }
end }

-- configure <cap or ~> <1, 0 or ~>
steps.configure = { 2, function(cap, locked)
  if cap ~= '~' then configure('cap', cap, REMEMBERED) end
  if locked ~= '~' then configure('locked', locked, REMEMBERED) end
  return { 'settled' }
end }

-- announce <to or *> <data>: a signal of the server's own. Where it has a key, KEYS[5] holds the number of the first one.
steps.announce = { 2, function(to, data)
  local before = KEYS[5] and redis.call('GET', KEYS[5])
  if before then return { 'appended', before } end
  if to ~= '*' and not redis.call('HGET', M, to) then return { 'refused', 'peer_not_found' } end
  if redis.call('HLEN', M) == 0 then return { 'gone', int(last) } end
  local seq = int(append(sized('t ' .. to, data)))
  if KEYS[5] then redis.call('SET', KEYS[5], seq, 'PX', int(REMEMBERED / 1000)) end
  return { 'appended', seq }
end }

-- look: how the room is.
steps.look = { 0, function()
  return {
    'room', int(last), configured('cap') or '~', configured('locked') or '0', int(now), members(),
  }
end }
