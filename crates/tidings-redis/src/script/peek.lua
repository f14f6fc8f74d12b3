-- KEYS: control.
local epoch, since, position, least = live()
if not epoch then
  return { 'not live', since }
end
return { 'live', epoch, since, position, least }
