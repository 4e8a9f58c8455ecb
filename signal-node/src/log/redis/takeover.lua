-- expire <grace µs> <as of µs> <valid for µs>
steps.expire = { 3, function(grace, as_of, valid_for)
  if is_stale(as_of, valid_for) then return { 'stale' } end
  take_away_unconfirmed()
  return { expire(tonumber(grace)) and 'more' or 'settled' }
end }

-- suspect <silent nodes> <grace µs> <as of µs> <valid for µs>
steps.suspect = { 4, function(silent, grace, as_of, valid_for)
  if is_stale(as_of, valid_for) then return { 'stale' } end
  return { suspect(silent, tonumber(grace)) and 'more' or 'settled' }
end }

-- reclaim <peer> <generation>: the node that holds the socket takes a suspected member back, or confirms after a reset that
-- it holds it.
steps.reclaim = { 2, function(peer, generation)
  local known, m = claimed(peer, generation)
  if not known then return m end
  redis.call('HDEL', H, 'x:' .. peer)
  if m.away == 0 or m.away > tonumber(known.generation) then return { 'settled' } end
  m.away = 0
  write_member(peer, m)
  return { 'appended', int(append('r ' .. peer .. ' 0\n')) }
end }

-- Those that this call has restored.
local restored = {}

-- restore <peer> <generation> <last mid> <n> <node> <socket> <try> <user or ~> <key hash> <joined> <base>
--         <recovery> <origin> <meta>: the greater generation wins; of the same one, the greater count.
steps.restore = { 14, function(peer, generation, mid, n, node, socket, try, user, key, joined, base, recovery,
                               origin, meta)
  n, mid = tonumber(n), tonumber(mid)
  if not stored and not prolongs then share_configuration() end
  if n > tonumber(redis.call('HGET', H, 'n') or '0') then redis.call('HSET', H, 'n', int(n)) end
  local m = member(peer)
  local known = m and claim(peer)
  if known and tonumber(known.generation) > tonumber(generation) then return { 'settled' } end
  local ended = not known and has_left(peer, try, socket)
  if ended then return { 'gone', int(ended) } end
  local orphan = redis.call('HGET', H, 'o:' .. peer)
  if orphan and read_claim(orphan).generation == generation then mid = math.max(mid, read_claim(orphan).mid) end
  -- A late copy of an earlier restore: what the member has told since is newer.
  if known and known.generation == generation and known.mid > mid then meta = m.meta end
  if known then mid = math.max(mid, known.mid) end
  redis.call('HDEL', H, 'o:' .. peer, 'x:' .. peer)
  restored[peer], prolongs = true, true
  hold(peer, generation, mid)
  write_member(peer, {
    n = n, node = node, socket = socket, try = tonumber(try), away = 0, user = user, key = key, joined = joined,
    base = base, recovery = recovery, origin = origin, meta = meta,
  })
  return { 'settled' }
end }

-- One line of the roster of a reset, as JSON. All but `meta`, which is JSON already, is of a narrow alphabet. A member whose
-- claim is lost has the generation 0, so that its node restores it.
local function survivor(peer, m)
  local away = m.away > 0 and int(since(m.away)) or 'null'
  local user = m.user ~= '~' and '"' .. m.user .. '"' or 'null'
  local known = claim(peer) or { generation = '0', mid = 0 }
  return '{"id":"' .. peer .. '","node":"' .. m.node .. '","n":' .. int(m.n) .. ',"user":' .. user
    .. ',"away":' .. away .. ',"generation":' .. known.generation .. ',"mid":' .. int(known.mid)
    .. ',"meta":' .. m.meta .. '}'
end

-- reset: history was lost; every node is told the roster as it is now. The members that this call has not restored wait for
-- their nodes to confirm that they hold them.
steps.reset = { 0, function()
  was_reset = true
  redis.call('HSET', H, 'mend', int(now + RESTORE_WINDOW))
  local flat, texts, ids, lines, unconfirmed = members(), {}, {}, {}, {}
  for i = 1, #flat, 2 do
    ids[#ids + 1] = flat[i]
    texts[flat[i]] = flat[i + 1]
  end
  table.sort(ids)
  for _, peer in ipairs(ids) do
    local m = read_member(texts[peer])
    lines[#lines + 1] = survivor(peer, m)
    if m.away == 0 and not restored[peer] and claim(peer) then
      unconfirmed[#unconfirmed + 1] = 'x:' .. peer
      unconfirmed[#unconfirmed + 1] = claim(peer).generation
    end
  end
  in_slices('HSET', H, unconfirmed)
  return { 'appended', int(append(sized('z', '[' .. table.concat(lines, ',') .. ']'))) }
end }

-- Takes note of what is missing, so that every other step finds whole members. Without their hash, nobody knows what members may
-- say: they keep their seats, away, until their nodes restore them. Without their lines, there are none, and their claims
-- wait for a restore, since they know which messages are settled.
local function take_in_loss()
  if stored then
    local claims_lost = redis.call('HGETALL', H)
    local orphans, over = {}, {}
    for i = 1, #claims_lost, 2 do
      local peer = string.match(claims_lost[i], '^g:(.*)$')
      if peer then
        orphans[#orphans + 1] = 'o:' .. peer
        orphans[#orphans + 1] = claims_lost[i + 1]
        over[#over + 1] = claims_lost[i]
      end
    end
    in_slices('HSET', H, orphans)
    in_slices('HDEL', H, over)
  else
    local flat, joins = redis.call('HGETALL', M), 0
    for i = 1, #flat, 2 do
      local m = read_member(flat[i + 1])
      joins = math.max(joins, m.n)
      if m.away == 0 then
        m.away = now
        write_member(flat[i], m)
      end
    end
    -- No number of a join is given twice: the lesser one says who is polite.
    redis.call('HSET', H, 'n', int(joins))
  end
end
