if head < seen and ARGV[3] ~= 'restore' and ARGV[3] ~= 'reset' then return { 'behind', int(head) } end

local answers = {}
local at = 3
while at <= #ARGV do
  local step = steps[ARGV[at]]
  answers[#answers + 1] = step[2](unpack(ARGV, at + 1, at + step[1]))
  at = at + 1 + step[1]
end

local changes = {}
for peer in pairs(dirty) do
  changes[#changes + 1] = 'g:' .. peer
  changes[#changes + 1] = claims[peer].generation .. ' ' .. int(claims[peer].mid)
end
if first then
  local batch = 'b ' .. int(head) .. ' ' .. int(first) .. ' ' .. #entries .. '\n' .. table.concat(entries)
  redis.call('HSET', H, 'seq', int(last), unpack(changes))
  redis.call('XADD', L, int(last) .. '-0', 'b', batch)
  redis.call(ARGV[1], C, batch)
elseif #changes > 0 then
  redis.call('HSET', H, unpack(changes))
end
if renewed then prolong(renewed) end
return answers
