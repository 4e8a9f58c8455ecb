-- Calls of the user whose inbox this is. H holds "c:<call>" = "<state> <device or ~> <caller> <room> <until µs>\n<data>", where
-- the state is ringing, accepted or why the call is over, and `until` when it has rung for long enough, gives no right any more
-- or is forgotten. Where events are stored, H also holds `to`, the user.

-- How long an ended call is remembered, in µs (log::CALLS_REMEMBERED).
local CALLS_REMEMBERED = 60000000

-- How long an accepted call gives the right to its room, in µs (log::CALL_LIFE).
local CALL_LIFE = 43200000000

-- How many calls ring at once (log::RINGING_CALLS).
local RINGING_CALLS = 16

local CALL = '^(%S+) (%S+) (%S+) (%S+) (%d+)\n(.*)$'

local function read_call(text)
  local state, device, from, room, ends, data = string.match(text, CALL)
  return { state = state, device = device, from = from, room = room, ends = tonumber(ends), data = data }
end

local function write_call(id, call)
  local line = table.concat({ call.state, call.device, call.from, call.room, int(call.ends) }, ' ')
  redis.call('HSET', H, 'c:' .. id, line .. '\n' .. call.data)
  outlive(H, math.max(0, call.ends - now) + CALLS_REMEMBERED)
end

local function call_entry(id, call)
  local left = int(math.max(0, call.ends - now))
  local head_line = table.concat({ 'c', id, call.state, call.device, call.from, call.room, left }, ' ')
  append(sized(head_line, call.state == 'ringing' and call.data or ''))
end

-- The reasons for which a call that rang was missed rather than answered (log::MissedReason).
local MISSED = { timeout = true, cancelled = true }

local function call_event(change, id, call, detail)
  if ARGV[5] ~= 'calls' then return end
  local to = redis.call('HGET', H, 'to')
  if to then emit('calls', change, id, call.from, to, call.room, detail) end
end

local function change_event(id, call, was)
  if call.state == 'accepted' then return call_event('call.accepted', id, call, call.device) end
  local is_missed = was == 'ringing' and MISSED[call.state]
  call_event(is_missed and 'call.missed' or 'call.ended', id, call, call.state)
end

local function ring_event(id, call)
  local devices = redis.call('HLEN', M)
  call_event('call.ringing', id, call, devices)
  if devices == 0 then call_event('call.missed', id, call, 'offline') end
end

local function change_call(id, call, state)
  local was = call.state
  call.state = state
  call.ends = now + (state == 'accepted' and CALL_LIFE or CALLS_REMEMBERED)
  call.data = ''
  write_call(id, call)
  call_entry(id, call)
  change_event(id, call, was)
end

-- Returns all calls by their names, in order. Those that have rung for long enough end; those that were over are forgotten.
local function live_calls()
  local flat, ids, calls, over = redis.call('HGETALL', H), {}, {}, {}
  for i = 1, #flat, 2 do
    local id = string.match(flat[i], '^c:(.*)$')
    if id then
      ids[#ids + 1] = id
      calls[id] = read_call(flat[i + 1])
    end
  end
  table.sort(ids)
  local live = {}
  for _, id in ipairs(ids) do
    local call = calls[id]
    if call.state == 'ringing' and call.ends <= now then change_call(id, call, 'timeout') end
    if call.ends <= now then over[#over + 1] = 'c:' .. id else live[#live + 1] = id end
  end
  in_slices('HDEL', H, over)
  return live, calls
end

local function calls_answer(ids, calls)
  local flat = {}
  for _, id in ipairs(ids) do
    flat[#flat + 1] = id
    flat[#flat + 1] = table.concat({
      calls[id].state, calls[id].device, calls[id].from, calls[id].room, int(math.max(0, calls[id].ends - now)),
    }, ' ') .. '\n' .. calls[id].data
  end
  return { 'calls', int(last), redis.call('HLEN', M), flat }
end

-- ring <call> <caller> <callee> <room> <timeout µs> <data or nothing>: a call of that name that is there is answered as it is.
steps.ring = { 6, function(id, from, to, room, timeout, data)
  local live, calls = live_calls()
  local ringing, known = 0, false
  for _, one in ipairs(live) do
    if calls[one].state == 'ringing' then ringing = ringing + 1 end
    known = known or one == id
  end
  if not known then
    if ringing >= RINGING_CALLS then return { 'refused', 'limit_exceeded' } end
    local call = { state = 'ringing', device = '~', from = from, room = room, ends = now + timeout, data = data }
    calls[id] = call
    write_call(id, call)
    call_entry(id, call)
    if W then redis.call('HSET', H, 'to', to) end
    ring_event(id, call)
  end
  return calls_answer({ id }, calls)
end }

-- Returns the state after a step, or nil if the step changes nothing: the first one wins.
local function state_after(call, step, by, reason)
  if call.state == 'ringing' then
    if step == 'accept' then return 'accepted' end
    return reason
  end
  local is_theirs = step == 'cancel' or (step == 'decline' and by == call.device)
  if call.state == 'accepted' and is_theirs then return 'hung_up' end
end

-- answer <call> <accept, decline or cancel> <device or caller> <why it is over then>
steps.answer = { 4, function(id, step, by, reason)
  local _, calls = live_calls()
  local call = calls[id]
  if not call or call.ends <= now then return { 'gone', int(last) } end
  if step == 'cancel' and by ~= call.from then return { 'gone', int(last) } end
  if step ~= 'cancel' and not redis.call('HGET', M, by) then return { 'gone', int(last) } end
  local state = state_after(call, step, by, reason)
  if state == 'accepted' then call.device = by end
  if state then change_call(id, call, state) end
  return calls_answer({ id }, calls)
end }

-- calls: ends those that have rung for long enough, and tells how all of them are.
steps.calls = { 0, function()
  return calls_answer(live_calls())
end }

-- Forgets what is over, and returns for how many µs the other calls have to be kept.
local function calls_last()
  local flat, longest, over = redis.call('HGETALL', H), 0, {}
  for i = 1, #flat, 2 do
    local call = string.sub(flat[i], 1, 2) == 'c:' and read_call(flat[i + 1])
    if call and call.state ~= 'ringing' and call.ends <= now then
      over[#over + 1] = flat[i]
    elseif call then
      longest = math.max(longest, call.ends - now + CALLS_REMEMBERED)
    end
  end
  in_slices('HDEL', H, over)
  return longest
end
