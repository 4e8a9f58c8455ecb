-- signal <peer> <generation> <mid> <to or *> <data>
steps.signal = { 5, function(peer, generation, mid, to, data)
  local outcome = settle(peer, generation, tonumber(mid))
  if outcome then return outcome end
  if to ~= '*' and not claim(to) then
    if now < tonumber(redis.call('HGET', H, 'mend') or '0') then
      -- Its node may put it back yet.
      claim(peer).mid = mid - 1
      return { 'mending' }
    end
    return refuse(peer, tonumber(mid), 'peer_not_found')
  end
  return { 'appended', int(append(sized('s ' .. peer .. ' ' .. to .. ' ' .. mid, data))) }
end }
