-- KEYS: control, and the slot of each request. ARGV: of each request its name, the number of its arguments, and those.
--
-- What readers ask of one bucket comes together, and is done one by one: which life of the store this is costs more than
-- all the rest of a request.
local epoch, since, position, least = live()
local requests = {}

-- Arguments: token, lease, how long a placeholder stays, how long a note stays (ms), expected things.
function requests.look(slot, args)
  local stored = redis.call('GET', slot)
  local missed, minimum = 'absent', position
  if stored then
    local state = sub(stored, 1, 3)
    if #stored < 75 or (state ~= 'T1v' and state ~= 'T1k') then
      missed = 'format'
    elseif sub(stored, 4, 19) ~= epoch then
      missed = 'epoch'
    elseif state == 'T1v' then
      minimum = sub(stored, 20, 43)
      missed = 'lapsed'
      local left = tonumber(sub(stored, 60, 75), 16)
      left = left and left > 0 and left - now()
      if left and left > 0 then
        return { 'filling', left }
      end
    else
      local as_of = sub(stored, 44, 67)
      local names, stamps = parts(stored, 86)
      if not names then
        missed = 'format'
      elseif not refusal(names, stamps, as_of, epoch, position, least, args[4]) then
        local soft = tonumber(sub(stored, 68, 83), 16)
        return { 'hit', stored, soft and soft > 0 and soft <= now() and 1 or 0 }
      else
        missed = 'outdated'
        minimum = sub(stored, 20, 43)
        if as_of > minimum then
          minimum = as_of
        end
      end
    end
  end
  local till = hex(now() + args[2])
  redis.call('SET', slot, 'T1v' .. epoch .. minimum .. args[1] .. till, 'PX', args[3])
  local expected = #args - 4
  local names = {}
  for i = 1, expected do
    names[i] = args[i + 4]
  end
  local found = notes(names, epoch, position, args[4])
  local reply = { 'claim', missed, minimum > least and minimum or least }
  for i = 1, expected do
    reply[i + 3] = sub(found[i], 20, 43)
    local needed = sub(found[i], 68, 91)
    if needed > reply[3] then
      reply[3] = needed
    end
  end
  return reply
end

-- Arguments: token, as-of, how long it stays (ms), how long a note stays (ms), soft time to live (ms, 0: none), flags,
-- parts, value.
function requests.fill(slot, args)
  local held = redis.call('GET', slot)
  if
    not held
    or #held ~= 75
    or sub(held, 1, 3) ~= 'T1v'
    or sub(held, 4, 19) ~= epoch
    or sub(held, 44, 59) ~= args[1]
  then
    return { 'lost' }
  end
  local as_of, minimum = args[2], sub(held, 20, 43)
  if as_of < minimum then
    return { 'old', minimum }
  end
  local names, stamps = parts(args[7], 1)
  local why = refusal(names, stamps, as_of, epoch, position, least, args[4])
  if why then
    return why
  end
  local soft = args[5] == '0' and hex(0) or hex(now() + args[5])
  local kept = 'T1k' .. epoch .. minimum .. as_of .. soft .. args[6] .. args[7] .. args[8]
  redis.call('SET', slot, kept, 'PX', args[3])
  for _, name in ipairs(names) do
    redis.call('PEXPIRE', BASE .. name, args[4], 'GT')
  end
  -- It may have shown a change before its news.
  if as_of > position then
    redis.call('SETRANGE', CONTROL, 59, as_of)
    position = as_of
  end
  return { 'kept' }
end

-- The server keeps all answers, and nobody has one, until the script ends.
local MOST = 262144
local replies, at, bytes = {}, 1, 0
for i = 2, #KEYS do
  local count = tonumber(ARGV[at + 1])
  if bytes >= MOST then
    replies[i - 1] = { 'later' }
  elseif epoch then
    -- What fails is the answer to this request alone.
    local done, reply = pcall(requests[ARGV[at]], KEYS[i], { unpack(ARGV, at + 2, at + 1 + count) })
    if not done and type(reply) ~= 'table' then
      -- A fault of the script itself has no word before it that says what it is.
      reply = { err = string.match(reply, '^%u+ ') and reply or 'ERR ' .. reply }
    end
    replies[i - 1] = reply
    bytes = bytes + (reply[1] == 'hit' and #reply[2] or 0)
  else
    replies[i - 1] = { 'not live', since }
  end
  at = at + 2 + count
end
return replies
