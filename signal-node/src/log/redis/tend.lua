-- tend <age µs> <length> <bytes>: trims the stream, off the way of signals, and tells where the log ends.
steps.tend = { 3, function(age, length, bytes)
  redis.call('XTRIM', L, 'MINID', int(math.max(0, now - tonumber(age))))
  redis.call('XTRIM', L, 'MAXLEN', length)
  local size = redis.call('MEMORY', 'USAGE', L) or 0
  if size > tonumber(bytes) then
    redis.call('XTRIM', L, 'MAXLEN', math.floor(redis.call('XLEN', L) * tonumber(bytes) / size / 2))
  end
  take_away_unconfirmed()
  forget_posts()
  share_configuration()
  -- What is configured lies in F as well from now on, so H needs to outlive the other keys no more.
  if stored then redis.call('PEXPIRE', H, life) end
  local kept = calls_last()
  if kept > 0 then outlive(H, kept) end
  prolongs = true
  return { 'head', int(last) }
end }
