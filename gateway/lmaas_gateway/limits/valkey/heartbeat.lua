-- Say that a process lives, and take back what those held that have said nothing for long.
-- KEYS: the processes. ARGV: the process, how many seconds it lives without a word, the beginning of the names of
-- the sets of what processes hold, 1 if it begins, and then under which name it was known before. Gives 0 if it
-- was taken for dead.
local processes, process, lease_s, prefix = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local is_known = redis.call('ZSCORE', processes, process)
if not is_known and ARGV[4] ~= '1' then
  return 0
end
redis.call('ZADD', processes, second, process)
redis.call('EXPIRE', processes, 864000)
redis.call('EXPIRE', prefix .. process, 864000)
local gone = redis.call('ZRANGEBYSCORE', processes, '-inf', second - lease_s)
if ARGV[5] ~= '' then
  gone[#gone + 1] = ARGV[5]
end
for _, dead in ipairs(gone) do
  for _, key in ipairs(redis.call('SMEMBERS', prefix .. dead)) do
    local lost = redis.call('HGET', key, dead)
    if lost then
      redis.call('HINCRBY', key, 't', '-' .. lost)
      redis.call('HDEL', key, dead)
    end
  end
  redis.call('DEL', prefix .. dead)
  redis.call('ZREM', processes, dead)
end
return 1
