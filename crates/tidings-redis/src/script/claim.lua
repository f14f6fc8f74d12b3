-- KEYS: control. ARGV: epoch, the live one that it is to replace ('' if none may be live).
local current = live()
if current and current ~= ARGV[2] then
  return { 'live', current }
end
redis.call('SET', CONTROL, 'T1o' .. ARGV[1] .. here() .. ZERO .. ZERO .. ZERO)
return { 'claimed' }
