-- Give back, where it still counts, what was taken; or, of less than nothing, take whatever is left.
-- KEYS: the set of what the process holds, then the counters, in which one may stand several times. ARGV: the
-- process, then of each its kind, what is given back, and the second, day or month of the reservation; 0 is now.
local held, process = KEYS[1], ARGV[1]
for index = 2, #KEYS do
  local base = (index - 2) * 3 + 2
  local key, kind, cost, stamp = KEYS[index], tonumber(ARGV[base]), tonumber(ARGV[base + 1]), tonumber(ARGV[base + 2])
  local total = roll(key, kind)
  if cost < 0 then
    add(key, kind, -cost, kind == LEVEL and process or second % SECONDS, held)
  elseif kind == LEVEL then
    local own = tonumber(redis.call('HGET', key, process) or '0')
    cost = math.min(cost, own)
    if cost > 0 then
      redis.call('HINCRBY', key, 't', number(-cost))
      if own == cost then
        redis.call('HDEL', key, process)
        redis.call('SREM', held, key)
      else
        redis.call('HINCRBY', key, process, number(-cost))
      end
    end
  elseif kind == MINUTE then
    if second - stamp < SECONDS and redis.call('HEXISTS', key, stamp % SECONDS) == 1 then
      redis.call('HINCRBY', key, 't', number(-cost))
      redis.call('HINCRBY', key, stamp % SECONDS, number(-cost))
    end
  elseif stamp == (kind == DAY and day or month) and total >= cost then
    redis.call('HINCRBY', key, 't', number(-cost))
  end
end
return #KEYS - 1
