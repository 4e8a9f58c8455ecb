-- leave <peer> <generation>
steps.leave = { 2, function(peer, generation)
  local known, outcome = claimed(peer, generation)
  if not known then return outcome end
  return { 'appended', int(remove(peer, 'left')) }
end }

-- detach <peer> <generation>: the socket is gone, the member may come back.
steps.detach = { 2, function(peer, generation)
  local known, outcome = claimed(peer, generation)
  if not known then return outcome end
  local m = member(peer)
  if m.away > 0 then return { 'settled' } end
  m.away = now
  write_member(peer, m)
  return { 'appended', int(append('a ' .. peer .. ' 0 0\n')) }
end }
