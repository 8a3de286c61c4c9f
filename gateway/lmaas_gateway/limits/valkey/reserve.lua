-- Take from all counters or from none.
-- KEYS: the set of what the process holds, then the counters. ARGV: the process, then of each counter its kind,
-- its limit and the cost. Gives 1 or 0, the time, and of each counter what it comes to; of a refusal also after
-- how many milliseconds there would be room: -1 for never, 0 for a counter that does not refuse.
local held, process = KEYS[1], ARGV[1]
local totals, waits, fits = {}, {}, true

local function wait_ms(key, kind, total, limit, cost)
  if cost > limit then
    return -1
  end
  if kind == LEVEL then
    return 1000
  end
  if kind == DAY then
    return ((day + 1) * 86400 - second) * 1000
  end
  if kind == MONTH then
    local later = day + 1
    while month_of(later) == month do
      later = later + 1
    end
    return (later * 86400 - second) * 1000
  end
  local missing = total + cost - limit
  for past = second - SECONDS + 1, second do
    missing = missing - tonumber(redis.call('HGET', key, past % SECONDS) or '0')
    if missing <= 0 then
      return (past + SECONDS - second) * 1000 - math.floor(micro / 1000)
    end
  end
  return 0
end

for index = 2, #KEYS do
  local base = (index - 2) * 3 + 2
  local kind, limit, cost = tonumber(ARGV[base]), tonumber(ARGV[base + 1]), tonumber(ARGV[base + 2])
  local total = roll(KEYS[index], kind)
  local wait = 0
  if cost > 0 and total + cost > limit then
    fits = false
    wait = wait_ms(KEYS[index], kind, total, limit, cost)
    if wait == 0 then
      wait = 1
    end
  end
  totals[#totals + 1] = total
  waits[#waits + 1] = wait
end

local reply = {fits and 1 or 0, second, day, month}
for index = 2, #KEYS do
  local base = (index - 2) * 3 + 2
  local kind, cost = tonumber(ARGV[base]), tonumber(ARGV[base + 2])
  local total = totals[index - 1]
  if fits and cost > 0 then
    add(KEYS[index], kind, cost, kind == LEVEL and process or second % SECONDS, held)
    total = total + cost
  end
  reply[#reply + 1] = number(total)
end
if not fits then
  for _, wait in ipairs(waits) do
    reply[#reply + 1] = wait
  end
end
return reply
