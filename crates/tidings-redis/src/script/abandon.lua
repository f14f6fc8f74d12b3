-- KEYS: control, slot. ARGV: token. Until 0 is: nobody loads it.
local slot = redis.call('GET', KEYS[2])
if slot and #slot == 75 and sub(slot, 1, 3) == 'T1v' and sub(slot, 44, 59) == ARGV[1] then
  redis.call('SETRANGE', KEYS[2], 43, string.rep('0', 32))
end
return { 'done' }
