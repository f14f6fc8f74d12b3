-- KEYS: control. ARGV: the epoch that was claimed, the source's position.
local control = redis.call('GET', CONTROL)
local claimed = 'T1o' .. ARGV[1] .. here()
if not control or sub(control, 1, 35) ~= claimed then
  return { 'overtaken' }
end
redis.call('SET', CONTROL, 'T1l' .. sub(claimed, 4) .. ARGV[2] .. ARGV[2] .. ARGV[2])
return { 'open' }
