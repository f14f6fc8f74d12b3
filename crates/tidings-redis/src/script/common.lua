-- What every script begins with: the layout, and the rules of tidings_core::shared on it.
--
-- Numbers are hexadecimal digits of fixed width: equal length makes the order of text the order of numbers, in every
-- locale, and Lua's numbers would lose the last bits of 64.

local CONTROL = KEYS[1]
-- Every key of a bucket begins with this.
local BASE = string.sub(CONTROL, 1, -2)
local ZERO = string.rep('0', 24)
local NO_STAMP = string.rep('-', 24)
local sub = string.sub

-- This life of the store: the replication id is new after every start and every promotion.
local function here()
  local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  if not id or #id < 16 then
    return error('TDNOREPLID the server tells no replication id')
  end
  return sub(id, 1, 16)
end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function hex(number)
  return string.format('%016x', number)
end

-- Epoch, since, position and least of a live bucket; or nil and why it is not.
local function live()
  local control = redis.call('GET', CONTROL)
  if not control then
    return nil, 'absent'
  end
  if #control ~= 107 or sub(control, 1, 2) ~= 'T1' or sub(control, 20, 35) ~= here() then
    return nil, 'foreign'
  end
  if sub(control, 3, 3) ~= 'l' then
    return nil, 'opening'
  end
  return sub(control, 4, 19), sub(control, 36, 59), sub(control, 60, 83), sub(control, 84, 107)
end

local function is_note(stored, epoch)
  return stored and #stored == 91 and sub(stored, 1, 3) == 'T1n' and sub(stored, 4, 19) == epoch
end

-- The notes of these things; those that are missing are made, at the bucket's position.
local function notes(names, epoch, position, ttl)
  if #names == 0 then
    return {}
  end
  local keys = {}
  for i, name in ipairs(names) do
    keys[i] = BASE .. name
  end
  local found = redis.call('MGET', unpack(keys))
  for i, key in ipairs(keys) do
    if not is_note(found[i], epoch) then
      if not found[i] then
        -- MGET finds nothing, too, where something of another type is: then this names the fault.
        redis.call('GET', key)
      end
      found[i] = 'T1n' .. epoch .. ZERO .. position .. position
      redis.call('SET', key, found[i], 'PX', ttl)
    end
  end
  return found
end

-- Whether an answer may be kept or served: nothing, or why not.
local function accepts(note, stamp, as_of)
  local minimum = sub(note, 68, 91)
  if as_of < minimum then
    return { 'old', minimum }
  end
  if stamp ~= NO_STAMP then
    local floor = sub(note, 20, 43)
    if stamp < floor then
      return { 'below', floor }
    end
  else
    local heard = sub(note, 44, 67)
    if as_of < heard then
      return { 'old', heard }
    end
  end
end

-- Names and stamps of what an answer was derived from, and where the text after them begins; or nil if it is damaged.
local function parts(text, at)
  local count = tonumber(sub(text, at, at + 1), 16)
  if not count then
    return nil
  end
  local names, stamps = {}, {}
  at = at + 2
  for i = 1, count do
    local length = tonumber(sub(text, at, at + 3), 16)
    if not length or at + 27 + length > #text then
      return nil
    end
    stamps[i] = sub(text, at + 4, at + 27)
    names[i] = sub(text, at + 28, at + 27 + length)
    at = at + 28 + length
  end
  return names, stamps, at
end

-- Why an answer does not stand, if it does not.
local function refusal(names, stamps, as_of, epoch, position, least, ttl)
  local found = notes(names, epoch, position, ttl)
  if as_of < least then
    return { 'old', least }
  end
  for i, note in ipairs(found) do
    local why = accepts(note, stamps[i], as_of)
    if why then
      return why
    end
  end
end
