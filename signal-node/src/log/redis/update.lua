-- update <peer> <generation> <mid> <meta>
steps.update = { 4, function(peer, generation, mid, meta)
  local outcome = settle(peer, generation, tonumber(mid))
  if outcome then return outcome end
  local m = member(peer)
  m.meta = meta
  write_member(peer, m)
  return { 'appended', int(append(sized('u ' .. peer .. ' ' .. mid, meta))) }
end }

-- refuse <peer> <generation> <mid> <code>: the node refused it for good; the mid is consumed in its turn.
steps.refuse = { 4, function(peer, generation, mid, code)
  return settle(peer, generation, tonumber(mid)) or refuse(peer, tonumber(mid), code)
end }
