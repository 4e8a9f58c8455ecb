-- Appends lines to a timeline. One script: an XADD whose PEXPIRE never came would leave a key without an end.
--
-- KEYS[1] {room}:t or {sub:NAME}:t  stream  lines, each in the field l
-- ARGV[1] how many lines are kept; ARGV[2] for how many ms; then the lines.
local clock = redis.call('TIME')
local oldest = clock[1] * 1000 + math.floor(clock[2] / 1000) - ARGV[2]
for i = 3, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'l', ARGV[i]) end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', math.max(oldest, 0)))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
