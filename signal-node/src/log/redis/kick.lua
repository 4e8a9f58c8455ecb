-- kick <peer> <ban µs>: a ban is of the subject; an anonymous member has none.
steps.kick = { 2, function(peer, ban)
  local m = member(peer)
  if not m then return { 'refused', 'peer_not_found' } end
  if tonumber(ban) > 0 and m.user ~= '~' then
    redis.call('HSET', H, 'b:' .. m.user, int(now + tonumber(ban)))
    redis.call('PEXPIRE', H, int(tonumber(ban) / 1000), 'GT')
  end
  return { 'appended', int(remove(peer, 'kicked')) }
end }

-- configure <cap or ~> <1, 0 or ~>
steps.configure = { 2, function(cap, locked)
  if cap ~= '~' then redis.call('HSET', H, 'cap', cap) end
  if locked ~= '~' then redis.call('HSET', H, 'locked', locked) end
  return { 'settled' }
end }
