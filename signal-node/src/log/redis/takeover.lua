-- expire <grace µs>
steps.expire = { 1, function(grace)
  expire(members(), tonumber(grace))
  return { 'settled' }
end }

-- suspect <silent nodes>
steps.suspect = { 1, function(silent)
  suspect(members(), silent)
  return { 'settled' }
end }

-- reclaim <peer> <generation>: the node that holds the socket takes a suspected member back.
steps.reclaim = { 2, function(peer, generation)
  local known, outcome = claimed(peer, generation)
  if not known then return outcome end
  local m = member(peer)
  if m.away == 0 then return { 'settled' } end
  m.away = 0
  write_member(peer, m)
  return { 'appended', int(append('r ' .. peer .. ' 0\n')) }
end }

-- restore <peer> <generation> <last mid> <n> <node> <socket> <try> <user or ~> <key hash> <joined> <base>
--         <recovery> <origin> <meta> <life of the room ms>: the greater generation wins; of the same one, the
--         greater count.
steps.restore = { 15, function(peer, generation, mid, n, node, socket, try, user, key, joined, base, recovery,
                               origin, meta, life)
  n, mid, renewed = tonumber(n), tonumber(mid), life
  if n > tonumber(redis.call('HGET', H, 'n') or '0') then redis.call('HSET', H, 'n', int(n)) end
  local known = claim(peer)
  if known and tonumber(known.generation) > tonumber(generation) then return { 'settled' } end
  hold(peer, generation, math.max(mid, known and known.mid or 0))
  write_member(peer, {
    n = n, node = node, socket = socket, try = tonumber(try), away = 0, user = user, key = key, joined = joined,
    base = base, recovery = recovery, origin = origin, meta = meta,
  })
  return { 'settled' }
end }

-- One line of the roster of a reset, as JSON. All but `meta`, which is JSON already, is of a narrow alphabet.
local function survivor(peer, m)
  local away = m.away > 0 and int(now - m.away) or 'null'
  local user = m.user ~= '~' and '"' .. m.user .. '"' or 'null'
  return '{"id":"' .. peer .. '","node":"' .. m.node .. '","n":' .. int(m.n) .. ',"user":' .. user
    .. ',"away":' .. away .. ',"generation":' .. claim(peer).generation .. ',"mid":' .. int(claim(peer).mid)
    .. ',"meta":' .. m.meta .. '}'
end

-- How long nodes may restore their members after a reset, in µs (log::RESTORE_WINDOW).
local RESTORE_WINDOW = 5000000

-- reset: history was lost; every node is told the roster as it is now.
steps.reset = { 0, function()
  redis.call('HSET', H, 'mend', int(now + RESTORE_WINDOW))
  local lines = {}
  for peer, m in each(members()) do lines[#lines + 1] = survivor(peer, m) end
  return { 'appended', int(append(sized('z', '[' .. table.concat(lines, ',') .. ']'))) }
end }
