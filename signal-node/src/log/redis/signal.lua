-- signal <peer> <generation> <mid> <to or *> <traceparent or ~> <data>
steps.signal = { 6, function(peer, generation, mid, to, trace, data)
  local outcome = settle(peer, generation, tonumber(mid))
  if outcome then return outcome end
  if to ~= '*' and not redis.call('HGET', M, to) then
    if is_mending() then
      -- Its node may restore it yet.
      claim(peer).mid = mid - 1
      return { 'mending' }
    end
    return refuse(peer, tonumber(mid), 'peer_not_found')
  end
  local head_line = table.concat({ peer, to, mid }, ' ')
  if trace ~= '~' then return { 'appended', int(append(sized('S ' .. head_line .. ' ' .. trace, data))) } end
  return { 'appended', int(append(sized('s ' .. head_line, data))) }
end }
