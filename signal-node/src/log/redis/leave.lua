-- leave <peer> <generation>
steps.leave = { 2, function(peer, generation)
  local known, m = claimed(peer, generation)
  if not known then return m end
  return { 'appended', int(remove(peer, m, 'left')) }
end }

-- detach <peer> <generation>: the socket is gone, the member may come back. It is away since the entry that says so, which is
-- behind its generation; a suspicion makes the generation the later one. So a late copy of a reclaim is known.
steps.detach = { 2, function(peer, generation)
  local known, m = claimed(peer, generation)
  if not known then return m end
  if m.away > 0 then return { 'settled' } end
  m.away = append('a ' .. peer .. ' 0 0\n')
  write_member(peer, m)
  return { 'appended', int(m.away) }
end }
