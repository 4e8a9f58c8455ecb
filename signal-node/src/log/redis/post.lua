-- post <from> <count> <silent nodes> <grace µs> <as of µs> <valid for µs> <data>: a signal of a socket that need not be a
-- member. H holds "p:<from>" = "<count> <receivers> <now>" of its last one, so that a repeated call is answered as the first one
-- was. A refused one has had no effect, so it is not remembered.
local function is_heard()
  local flat = members()
  for i = 2, #flat, 2 do
    local _, away = brief(flat[i])
    if away == 0 then return true end
  end
  return false
end

steps.post = { 7, function(from, count, silent, grace, as_of, valid_for, data)
  local last_count, receivers, at = string.match(redis.call('HGET', H, 'p:' .. from) or '', '^(%d+) (%d+) (%d+)$')
  if last_count and since(tonumber(at)) < POSTS_REMEMBERED then
    if last_count == count then return { 'posted', receivers } end
    if tonumber(count) < tonumber(last_count) then return { 'settled' } end
  end
  if is_lost then return { 'mending' } end
  if not is_stale(as_of, valid_for) then suspect(silent, tonumber(grace)) end
  if not is_heard() then return is_mending() and { 'mending' } or { 'gone', int(last) } end
  append(sized('t *', data))
  receivers = int(redis.call('HLEN', M))
  redis.call('HSET', H, 'p:' .. from, count .. ' ' .. receivers .. ' ' .. int(now))
  return { 'posted', receivers }
end }

-- Forgets the posts whose senders have been silent for long enough.
local function forget_posts()
  local flat, over = redis.call('HGETALL', H), {}
  for i = 1, #flat, 2 do
    local at = string.sub(flat[i], 1, 2) == 'p:' and string.match(flat[i + 1], '%d+$')
    if at and since(tonumber(at)) >= POSTS_REMEMBERED then over[#over + 1] = flat[i] end
  end
  in_slices('HDEL', H, over)
end
