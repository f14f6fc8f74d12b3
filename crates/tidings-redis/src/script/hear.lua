-- KEYS: control. ARGV: name, stamp, position of each piece of news; the name '*' is every region.
local epoch, since, position, least = live()
if not epoch then
  return { 'not live', since }
end
local keys, top, lowest = {}, position, least
for i = 1, #ARGV, 3 do
  if sub(ARGV[i + 2], 1, 8) > sub(since, 1, 8) then
    return { 'timeline', epoch }
  end
  keys[#keys + 1] = BASE .. ARGV[i]
end
local found = #keys > 0 and redis.call('MGET', unpack(keys)) or {}
-- The same thing may be named twice.
local raised, cached = {}, 0
for i, key in ipairs(keys) do
  local name, stamp, at = ARGV[i * 3 - 2], ARGV[i * 3 - 1], ARGV[i * 3]
  if at > top then
    top = at
  end
  if name == '*' then
    if at > lowest then
      lowest = at
    end
  else
    local note = raised[key] or found[i]
    if is_note(note, epoch) then
      local floor, heard, minimum = sub(note, 20, 43), sub(note, 44, 67), sub(note, 68, 91)
      if stamp ~= NO_STAMP then
        floor = stamp > floor and stamp or floor
        heard = at > heard and at or heard
      else
        minimum = at > minimum and at or minimum
      end
      local told = sub(note, 1, 19) .. floor .. heard .. minimum
      if told ~= note then
        redis.call('SETRANGE', key, 19, sub(told, 20))
        raised[key] = told
      end
      cached = cached + 1
    end
  end
end
if top > position or lowest > least then
  redis.call('SETRANGE', CONTROL, 59, top .. lowest)
end
return { 'heard', cached }
