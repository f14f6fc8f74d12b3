-- KEYS: control, slot. ARGV: token, as-of, how long it stays (ms), how long a note stays (ms), soft time to live (ms, 0:
-- none), flags, parts, value.
local epoch, since, position, least = live()
if not epoch then
  return { 'not live', since }
end
local slot = redis.call('GET', KEYS[2])
if
  not slot
  or #slot ~= 75
  or sub(slot, 1, 3) ~= 'T1v'
  or sub(slot, 4, 19) ~= epoch
  or sub(slot, 44, 59) ~= ARGV[1]
then
  return { 'lost' }
end
local as_of, minimum = ARGV[2], sub(slot, 20, 43)
if as_of < minimum then
  return { 'old', minimum }
end
local names, stamps = parts(ARGV[7], 1)
local why = refusal(names, stamps, as_of, epoch, position, least, ARGV[4])
if why then
  return why
end
local soft = ARGV[5] == '0' and hex(0) or hex(now() + ARGV[5])
local kept = 'T1k' .. epoch .. minimum .. as_of .. soft .. ARGV[6] .. ARGV[7] .. ARGV[8]
redis.call('SET', KEYS[2], kept, 'PX', ARGV[3])
for _, name in ipairs(names) do
  redis.call('PEXPIRE', BASE .. name, ARGV[4], 'GT')
end
-- It may have shown a change before its news.
if as_of > position then
  redis.call('SETRANGE', CONTROL, 59, as_of)
end
return { 'kept' }
