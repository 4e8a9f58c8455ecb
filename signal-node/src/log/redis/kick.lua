-- kick <peer> <ban µs>: a ban is of the subject, and removes every member of it; an anonymous member has none.
steps.kick = { 2, function(peer, ban)
  local m = member(peer)
  if not m then return { 'refused', 'peer_not_found' } end
  if tonumber(ban) == 0 or m.user == '~' then return { 'appended', int(remove(peer, 'kicked')) } end
  redis.call('HSET', H, 'b:' .. m.user, int(now + tonumber(ban)))
  redis.call('PEXPIRE', H, int(tonumber(ban) / 1000), 'GT')
  for id, other in each(members()) do
    if other.user == m.user then remove(id, 'kicked') end
  end
  return { 'appended', int(last) }
end }

-- configure <cap or ~> <1, 0 or ~> <life of the room ms> <µs for which it is remembered at least>
steps.configure = { 4, function(cap, locked, life, remembered)
  if cap ~= '~' then redis.call('HSET', H, 'cap', cap) end
  if locked ~= '~' then redis.call('HSET', H, 'locked', locked) end
  prolong(life)
  redis.call('PEXPIRE', H, int(tonumber(remembered) / 1000), 'GT')
  return { 'settled' }
end }

-- announce <to or *> <µs for which its key is remembered> <data>: a signal of the server's own. Where it has a
-- key, KEYS[5] holds the number of the first one.
steps.announce = { 3, function(to, remembered, data)
  local before = KEYS[5] and redis.call('GET', KEYS[5])
  if before then return { 'appended', before } end
  if to ~= '*' and not claim(to) then return { 'refused', 'peer_not_found' } end
  if redis.call('HLEN', M) == 0 then return { 'gone', int(last) } end
  local seq = int(append(sized('t ' .. to, data)))
  if KEYS[5] then redis.call('SET', KEYS[5], seq, 'PX', int(tonumber(remembered) / 1000)) end
  return { 'appended', seq }
end }

-- look: how the room is.
steps.look = { 0, function()
  local roster = {}
  for id, m in each(members()) do roster[#roster + 1] = line(id, m) end
  return { 'room', int(last), redis.call('HGET', H, 'cap') or '~', redis.call('HGET', H, 'locked') or '0', roster }
end }
