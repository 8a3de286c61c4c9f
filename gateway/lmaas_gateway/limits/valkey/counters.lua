-- What all scripts here begin with. A counter is a hash: `t` is what it comes to, `m` since when it counts; of a
-- minute, the fields 0 to 60 are its seconds; of what is in flight, there is a field for each process.
local MINUTE, DAY, MONTH, LEVEL = 1, 2, 3, 4
local SECONDS = 61
local KEEP_S = {120, 172800, 3456000, 864000}

local time = redis.call('TIME')
local second, micro = tonumber(time[1]), tonumber(time[2])
local day = math.floor(second / 86400)

-- Months since the year 0. Source: Howard Hinnant, "chrono-compatible low-level date algorithms".
local function month_of(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return year * 12 + month - 1
end

local month = month_of(day)

-- Forget what counts no more; give what the counter comes to.
local function roll(key, kind)
  if kind == LEVEL then
    return tonumber(redis.call('HGET', key, 't') or '0')
  end
  local held = redis.call('HMGET', key, 'm', 't')
  local mark, total = tonumber(held[1] or '-1'), tonumber(held[2] or '0')
  local now = kind == MINUTE and second or kind == DAY and day or month
  if mark >= now then
    return total
  end
  if kind ~= MINUTE or mark < 0 or now - mark >= SECONDS then
    redis.call('DEL', key)
    total = 0
  else
    for past = mark + 1, now do
      local used = redis.call('HGET', key, past % SECONDS)
      if used then
        total = total - tonumber(used)
        redis.call('HDEL', key, past % SECONDS)
      end
    end
  end
  redis.call('HSET', key, 'm', now, 't', string.format('%.0f', total))
  return total
end

local function number(value)
  return string.format('%.0f', value)
end

local function add(key, kind, cost, place, held)
  redis.call('HINCRBY', key, 't', number(cost))
  if kind == MINUTE then
    redis.call('HINCRBY', key, place, number(cost))
  elseif kind == LEVEL then
    redis.call('HINCRBY', key, place, number(cost))
    redis.call('SADD', held, key)
  end
  redis.call('EXPIRE', key, KEEP_S[kind])
end
