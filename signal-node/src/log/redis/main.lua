local is_recovery = ARGV[7] == 'restore' or ARGV[7] == 'reset'
if not is_recovery and (head < seen or (is_lost and seen > 0)) then return { 'behind', int(head) } end

-- These free memory. Redis lets a script go on whose first write was one that it does not refuse when its memory is full.
local FREES = { leave = true, detach = true, kick = true, expire = true, suspect = true, reclaim = true, tend = true }
local frees, at = true, 7
while at <= #ARGV do
  frees = frees and FREES[ARGV[at]]
  at = at + 1 + steps[ARGV[at]][1]
end
if frees then redis.call('PEXPIRE', H, life, 'GT') end

if is_lost then
  take_in_loss()
  -- A caller that has seen nothing has nobody to restore: the nodes that have are told.
  if not is_recovery then steps.reset[2]() end
end

local answers = {}
at = 7
while at <= #ARGV do
  local step = steps[ARGV[at]]
  answers[#answers + 1] = step[2](unpack(ARGV, at + 1, at + step[1]))
  at = at + 1 + step[1]
end
if is_lost and not was_reset then steps.reset[2]() end

local changes = {}
for peer in pairs(dirty) do
  changes[#changes + 1] = 'g:' .. peer
  changes[#changes + 1] = claims[peer].generation .. ' ' .. int(claims[peer].mid)
end
in_slices('HSET', H, changes)
if first then
  local batch = 'b ' .. int(head) .. ' ' .. int(first) .. ' ' .. #entries .. '\n' .. table.concat(entries)
  redis.call('HSET', H, 'seq', int(last))
  redis.call('XADD', L, int(last) .. '-0', 'b', batch)
  redis.call('HSET', F, 'v', '1')
  redis.call(ARGV[1], C, batch)
end
for _, event in ipairs(events) do redis.call('XADD', W, 'MAXLEN', '~', EVENTS_PER_QUEUE, '*', 'e', event) end
if #events > 0 then redis.call('PEXPIRE', W, ARGV[6]) end
for i = 1, W and 5 or 4 do
  if prolongs then redis.call('PEXPIRE', KEYS[i], life, 'GT') end
  -- A key that this call has made, or a node of version 0.1.0 after a loss, has no end yet.
  if redis.call('PTTL', KEYS[i]) == -1 then redis.call('PEXPIRE', KEYS[i], life) end
end
return answers
