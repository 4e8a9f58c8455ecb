-- What is configured for a room lies in F. Nodes of version 0.1.0 read and write it in H, so for as long as there may be some,
-- both are written, and what either holds counts.

-- Returns a field of the configuration.
local function configured(field)
  return redis.call('HGET', H, field) or redis.call('HGET', F, field)
end

-- Tells until when a subject is banned, in µs.
local function banned_until(user)
  local function ban(key) return tonumber(redis.call('HGET', key, 'b:' .. user) or '0') end
  return math.max(ban(H), ban(F))
end

local function outlive(key, remembered)
  if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, life) end
  redis.call('PEXPIRE', key, int(remembered / 1000), 'GT')
end

-- Sets a field of F, which lives for that many µs at least.
local function remember(field, value, remembered)
  redis.call('HSET', F, field, value)
  outlive(F, remembered)
end

local function configure(field, value, remembered)
  remember(field, value, remembered)
  redis.call('HSET', H, field, value)
  if not stored then outlive(H, remembered) end
end

-- Brings both copies to the same: a room that begins anew finds what was remembered, and what a node of version 0.1.0 has
-- configured is remembered.
local function share_configuration()
  local kept = redis.call('HGETALL', F)
  local here = redis.call('HGETALL', H)
  local of_f, of_h, fields = {}, {}, {}
  for i = 1, #kept, 2 do of_f[kept[i]] = kept[i + 1] end
  for i = 1, #here, 2 do
    local field = here[i]
    if field == 'cap' or field == 'locked' or string.sub(field, 1, 2) == 'b:' then of_h[field] = here[i + 1] end
  end
  for field, value in pairs(of_f) do
    local ends = string.sub(field, 1, 2) == 'i:' and tonumber(string.match(value, '%d+$'))
    if ends and ends <= now then redis.call('HDEL', F, field) end
    fields[field] = not ends or nil
  end
  for field in pairs(of_h) do fields[field] = true end
  fields.v = nil
  for field in pairs(fields) do
    local mine, theirs = of_f[field], of_h[field]
    if string.sub(field, 1, 2) == 'b:' then
      local ends = math.max(tonumber(mine or '0'), tonumber(theirs or '0'))
      if ends <= now then
        redis.call('HDEL', F, field)
        redis.call('HDEL', H, field)
      else
        if tonumber(mine or '0') < ends then configure(field, int(ends), ends - now) end
        if theirs ~= int(ends) then redis.call('HSET', H, field, int(ends)) end
      end
    elseif theirs and mine ~= theirs then
      configure(field, theirs, REMEMBERED)
    elseif not theirs then
      redis.call('HSET', H, field, mine)
    end
  end
end
