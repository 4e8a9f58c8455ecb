-- How memberships end, and what is remembered of them.

-- The last who left, newest first: " <peer>/<try>/<socket>/<number of the entry>" for each. A late copy of a join or of a
-- restore is known by it.
local left

local function last_left()
  left = left or redis.call('HGET', H, 'left') or ''
  return left
end

local function remember_left(peer, m, seq)
  local all = ' ' .. peer .. '/' .. int(m.try) .. '/' .. m.socket .. '/' .. int(seq) .. last_left()
  local at = 0
  for _ = 1, LEFT_REMEMBERED + 1 do
    at = string.find(all, ' ', at + 1, true)
    if not at then break end
  end
  left = at and string.sub(all, 1, at - 1) or all
  redis.call('HSET', H, 'left', left)
end

-- Finds " <peer>/<try>/<socket>/" of this very join among those who left. One that is not counted (0) is told by its socket.
local function find_left(peer, try, socket)
  if try ~= '0' then return string.find(last_left(), ' ' .. peer .. '/' .. try .. '/' .. socket .. '/', 1, true) end
  return string.find(last_left(), ' ' .. string.gsub(peer, '%-', '%%-') .. '/%d+/' .. socket .. '/')
end

-- Returns the number of the entry with which the member of this very join has left.
local function has_left(peer, try, socket)
  local _, at = find_left(peer, try, socket)
  return at and tonumber(string.match(left, '^%d+', at + 1))
end

-- Lets the same join enter anew, since its node knows that it has left.
local function forget_left(peer, try, socket)
  local at, to = find_left(peer, try, socket)
  if not at then return end
  left = string.sub(left, 1, at - 1) .. string.gsub(string.sub(left, to + 1), '^%d+', '', 1)
  redis.call('HSET', H, 'left', left)
end

-- Ends a membership and says why: left, timeout or kicked.
local function remove(peer, m, reason)
  roster = nil
  redis.call('HDEL', M, peer)
  redis.call('HDEL', H, 'g:' .. peer, 'r:' .. peer, 'x:' .. peer)
  claims[peer] = false
  dirty[peer] = nil
  local seq = append('l ' .. peer .. ' ' .. reason .. ' 0\n')
  remember_left(peer, m, seq)
  emit('room', 'peer.left', peer, m.user, reason, int(since(tonumber(m.origin))))
  if W and redis.call('HLEN', M) == 0 then emit('room', 'room.ended') end
  return seq
end

-- Marks a member away since that moment, and raises its generation, so that what its node may still say is worth nothing.
local function take_away(peer, m, moment)
  m.away = moment
  write_member(peer, m)
  local entry = append('a ' .. peer .. ' ' .. int(since(moment)) .. ' 0\n')
  local known = claim(peer)
  if known then hold(peer, int(entry), known.mid) end
end

-- Removes members that have been away for `grace` µs; tells whether there are more of them.
local function expire(grace)
  local due, more = due_members(function(_, away) return away > now or (away > 0 and away + grace <= now) end)
  for _, one in ipairs(due) do
    if one.m.away > now then
      -- The clock was set back.
      one.m.away = now
      write_member(one.id, one.m)
    end
    if one.m.away + grace <= now then remove(one.id, one.m, 'timeout') end
  end
  return more
end

-- Marks those away whose nodes are silent, since it is certain: "<node>=<µs ago>,…". Their nodes may be wrongly suspected,
-- so each has RECLAIM_WINDOW to reclaim them before the grace can be over. Tells whether there are more of them.
local function suspect(silent, grace)
  if silent == '' then return false end
  local ago_of = {}
  for node, ago in string.gmatch(silent, '([^=,]+)=(%d+)') do ago_of[node] = tonumber(ago) end
  local due, more = due_members(function(node, away) return away == 0 and ago_of[node] end)
  for _, one in ipairs(due) do
    local ago = math.min(ago_of[one.m.node], math.max(0, grace - RECLAIM_WINDOW))
    take_away(one.id, one.m, now - ago)
  end
  return more
end

-- Tells whether a judgement is too old, or from before a step of the clock: then it proves nothing now.
local function is_stale(as_of, valid_for)
  return math.abs(now - tonumber(as_of)) > tonumber(valid_for)
end

-- Returns until when members may be restored, or 0.
local function mend_until()
  local mend = tonumber(redis.call('HGET', H, 'mend') or '0')
  if mend > now + RESTORE_WINDOW then
    -- The clock was set back.
    mend = now + RESTORE_WINDOW
    redis.call('HSET', H, 'mend', int(mend))
  end
  return mend
end

local function is_mending() return now < mend_until() end

-- Once the time for restores is over: marks the members away that no node has confirmed. They have left before the loss, or
-- their node is gone; the node of a living one reclaims it.
local function take_away_unconfirmed()
  if mend_until() == 0 or is_mending() then return end
  local unconfirmed, over = {}, { 'mend' }
  local flat = redis.call('HGETALL', H)
  for i = 1, #flat, 2 do
    local kind, peer = string.match(flat[i], '^([xor]):(.*)$')
    if kind == 'x' then unconfirmed[#unconfirmed + 1] = peer end
    if kind == 'o' or (kind == 'r' and not claim(peer)) then over[#over + 1] = flat[i] end
  end
  table.sort(unconfirmed)
  for i = 1, math.min(#unconfirmed, MEMBERS_PER_STEP) do
    local peer = unconfirmed[i]
    local m, known = member(peer), claim(peer)
    local generation = redis.call('HGET', H, 'x:' .. peer)
    redis.call('HDEL', H, 'x:' .. peer)
    if m and known and m.away == 0 and known.generation == generation then take_away(peer, m, now) end
  end
  if #unconfirmed <= MEMBERS_PER_STEP then in_slices('HDEL', H, over) end
end
