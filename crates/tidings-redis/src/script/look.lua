-- KEYS: control, slot. ARGV: token, lease, how long a placeholder stays, how long a note stays (ms), expected things.
local epoch, since, position, least = live()
if not epoch then
  return { 'not live', since }
end
local stored = redis.call('GET', KEYS[2])
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
    elseif not refusal(names, stamps, as_of, epoch, position, least, ARGV[4]) then
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
local till = hex(now() + ARGV[2])
redis.call('SET', KEYS[2], 'T1v' .. epoch .. minimum .. ARGV[1] .. till, 'PX', ARGV[3])
local expected = #ARGV - 4
local names = {}
for i = 1, expected do
  names[i] = ARGV[i + 4]
end
local found = notes(names, epoch, position, ARGV[4])
local reply = { 'claim', missed, minimum > least and minimum or least }
for i = 1, expected do
  reply[i + 3] = sub(found[i], 20, 43)
  local needed = sub(found[i], 68, 91)
  if needed > reply[3] then
    reply[3] = needed
  end
end
return reply
