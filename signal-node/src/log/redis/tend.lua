-- tend <life ms> <age µs> <length> <bytes>: trims the stream, off the way of signals,
-- and tells where the log ends.
steps.tend = { 4, function(life, age, length, bytes)
  redis.call('XTRIM', L, 'MINID', int(now - tonumber(age)))
  redis.call('XTRIM', L, 'MAXLEN', length)
  local size = redis.call('MEMORY', 'USAGE', L) or 0
  if size > tonumber(bytes) then
    redis.call('XTRIM', L, 'MAXLEN', math.floor(redis.call('XLEN', L) * tonumber(bytes) / size / 2))
  end
  prolong(life)
  return { 'head', int(last) }
end }
