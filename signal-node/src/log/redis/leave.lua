-- leave <peer> <generation>
steps.leave = { 2, function(peer, generation)
  local known, m = claimed(peer, generation)
  if not known then return m end
  return { 'appended', int(remove(peer, m, 'left')) }
end }

-- detach <peer> <generation>: the socket is gone, the member may come back.
steps.detach = { 2, function(peer, generation)
  local known, m = claimed(peer, generation)
  if not known then return m end
  if m.away > 0 then return { 'settled' } end
  m.away = now
  write_member(peer, m)
  return { 'appended', int(append('a ' .. peer .. ' 0 0\n')) }
end }
