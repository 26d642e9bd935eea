#!lua name=kagiban_@VERSION@
--[[
The hot store: what the verifier asks on every call, in one atomic function call (V2, V3, V4).

One hash per key (`kb:{tag}:k:<family>`) holds
  p        its policy, packed (POLICY below; written by keys/hotstore/record.py)
  c        its counters, packed (COUNTERS), and the places that calls hold at once: a new policy leaves them
           alone, overlapping secrets share them
  s<16 B>  per secret, named by the first 16 bytes of its digest: a state and, for an overlap, its end
  n        until when the database is known to have no such family (a hash without `p`)
Beside it, under the same hash tag: `u` use counted since the last drain, `d` the batch being drained,
`e` the store's epoch (gone when the store was emptied), and
`w:<workspace>` whose `c` counts what the keys of a workspace with limits have used together. Those limits
stand in the policy of each of its keys, so that they are believed, and go out of date, as the policy does.

Lines of `u`, each with a number (read by verifier/usage/lines.py):
  minute|key id|code|address   checks; the address is empty where none was told
  minute|key id|$              cost of the checks that were let through, in millionths of a USD
  minute|key id|most|of|burst        the most of it used at once, where that grew in this hour
  minute|key id|most|of|concurrency  the most places held at once, as well
  =                            nothing: it makes the server keep an index of the lines (take)
  key id                       how many addresses it has in this batch
  minute|family|$              what calls cost more, or less, than was reserved for them
  minute|family|s200           outcomes by HTTP status
  minute|family|l50            their latencies by class, ms their sum, max the longest, in ms

A policy names the server process (`run`) it was given to. After a restart or a failover writes may be
missing, a revocation among them, so every older policy is read again from the database; counters stay.
]]

-- revision, run, fresh_until, status, flags, starts, ends, rpm, rph, leases, burst increment and
-- tolerance in µs, budget in millionths of a USD (-1: none), end of this budget month and of the next,
-- shift of the hour window in s, environment, workspace, IP ranges, countries, scopes, models, features, identity
local POLICY = '<dc8I4BBI4I4I4I4I4dddI4I4I2c4Hc0Hc0Hc0Hc0Hc0Hc0Hc0'
-- The flags: every secret of the key is named (1), limits shared in the workspace stand behind the rest (2),
-- what the key may do is narrowed by a quarantine (4).
local SHARED, QUARANTINED = 2, 4
local NARROWED = { IP_NOT_ALLOWED = true, INSUFFICIENT_SCOPE = true }
-- The workspace's rpm, rph, budget and name.
local IN_COMMON = '<I4I4dBc0'
-- minute window, count, hour window, count, theoretical arrival time in µs, budget window, spent
local COUNTERS = '<I4I4I4I4dI4d'
-- Behind them, of a key with a limit of burst or of concurrency: the most of each used at once in that hour.
local MOST, MOST_AT, COUNTERS_AND_MOST = '<I4I4', 37, COUNTERS .. 'I4I4'
-- And behind that, of a key with a limit of concurrency: when places become free, in ms since 1970 and in that
-- order, and how many do then.
local PLACES, PLACES_AT, PLACES_LENGTH = '<I6I4', 45, 10
-- What a check asks for: cost in millionths of a USD, length (0: holds no place) and grid of its lease in ms, environment (blank where
-- any will do), address, its country, workspace, scopes, model, features. Empty: not asked.
local ASKED = '<dI4I4c4Bc0Bc0I4c0I4c0I4c0I4c0'
local ANY_ENVIRONMENT = '    '
-- What it is told: left in minute, hour and budget (-1: no limit), now, seconds until worth a retry, for how many
-- ms its place is held, whether what is left of the workspace's limits follows (SHARED_LEFT), code. Then the identity.
local VERDICT, SHARED_LEFT = '<i8i8i8I4I4I4BBc0', '<i8i8i8'
-- So long a workspace's counters are kept: longer than a month.
local KEEP_SECONDS = 40 * 86400

local STATUS = { [3] = 'PENDING', [4] = 'SUSPENDED', [5] = 'REVOKED', [6] = 'EXPIRED' }
local DEAD = 5
local DEAD_SECRET = { X = 'REVOKED', E = 'EXPIRED' }
local MANY = 400
-- All names begin with `kb:{xx}:`.
local TAG_LENGTH = 8

-- Whether every word of `asked` stands in `list`, which begins and ends with a space.
local function lists(list, asked)
  if not string.find(asked, ' ', 1, true) then
    return string.find(list, ' ' .. asked .. ' ', 1, true)
  end
  for word in string.gmatch(asked, '%S+') do
    if not string.find(list, ' ' .. word .. ' ', 1, true) then
      return false
    end
  end
  return true
end

-- Whether an address (32 hex digits) lies in one of the ranges (64 hex digits each: first, last).
local function within(ranges, address)
  if address == '' then
    return false
  end
  for i = 1, #ranges, 64 do
    if address >= string.sub(ranges, i, i + 31) and address <= string.sub(ranges, i + 32, i + 63) then
      return true
    end
  end
  return false
end

-- What was used of the windows that run now: minute and its count, hour and its count, arrival, month, spent.
local function used(packed, minute, hour, month)
  if not packed then
    return minute, 0, hour, 0, 0, month, 0
  end
  local a, in_minute, b, in_hour, arrival, o, spent = struct.unpack(COUNTERS, packed)
  -- A clock that was set back must not open a window again.
  if a < minute then in_minute = 0 else minute = a end
  if b < hour then in_hour = 0 else hour = b end
  if o < month then spent = 0 else month = o end
  return minute, in_minute, hour, in_hour, arrival, month, spent
end

-- The limits that the keys of a workspace hold together, packed in a policy from `at`, and what was used.
local function in_common(record, policy, at, minute, hour, month)
  local rpm, rph, budget, name = struct.unpack(IN_COMMON, policy, at)
  local key = string.sub(record, 1, TAG_LENGTH) .. 'w:' .. name
  local packed = redis.call('HGET', key, 'c')
  local all = { key = key, is_new = not packed, rpm = rpm, rph = rph, budget = budget }
  all.minute, all.in_minute, all.hour, all.in_hour, all.arrival, all.month, all.spent =
    used(packed, minute, hour, month)
  return all
end

local function count_in_common(all, cost)
  all.in_minute, all.in_hour, all.spent = all.in_minute + 1, all.in_hour + 1, all.spent + cost
  redis.call('HSET', all.key, 'c', struct.pack(COUNTERS,
    all.minute, all.in_minute, all.hour, all.in_hour, all.arrival, all.month, all.spent))
  if all.is_new then
    redis.call('EXPIRE', all.key, KEEP_SECONDS)
  end
end

-- What is left in minute, hour and budget (-1: no limit).
local function left(rpm, in_minute, rph, in_hour, budget, spent)
  local max = math.max
  return rpm > 0 and max(0, rpm - in_minute) or -1,
    rph > 0 and max(0, rph - in_hour) or -1,
    budget >= 0 and max(0, budget - spent) or -1
end

-- The seconds until a budget is whole again; 0 where no whole one covers this cost, so that no waiting helps.
local function until_it_suffices(budget, cost, seconds)
  return budget > 0 and cost <= budget and seconds or 0
end

local function verdict(code, left_in_minute, left_in_hour, left_of_budget, now, retry, held, shared)
  return struct.pack(VERDICT, left_in_minute, left_in_hour, left_of_budget, now, retry, held, shared, #code, code)
end

-- The store's epoch; a store that was emptied begins a new one, named by the caller's nonce.
local function epoch_of(key, nonce)
  local epoch = redis.call('GET', key)
  if not epoch then
    epoch = nonce
    redis.call('SET', key, epoch)
  end
  return epoch
end

local function begin(keys, args)
  return epoch_of(keys[1], args[1])
end

-- The database has to be asked. The epoch goes along and must come back unchanged with the record; our time goes
-- along because what the registry says may depend on it, and the asker's clock may be behind.
local function miss(record, who, now, why)
  if why == 'EMPTY' then
    local absent = redis.call('HGET', record, 'n')
    if absent and tonumber(absent) > now then
      return verdict('NOT_FOUND', -1, -1, -1, now, 0, 0, 0)
    end
  end
  return { 'MISS', why, epoch_of(string.sub(record, 1, TAG_LENGTH) .. 'e', string.sub(who, 39)), now }
end

-- A caller's address that was not seen since the last drain. Addresses are as many as callers like, so each
-- key id has MANY lines of them in a batch; beyond them the address is `*`.
local function bound_addresses(use, line, key_id)
  if redis.call('HINCRBY', use, key_id, 1) > MANY then
    redis.call('HDEL', use, line)
    redis.call('HINCRBY', use, string.match(line, '^.*|') .. '*', 1)
  end
end

-- Keep the greatest number under this line.
local function raise(use, line, number)
  if tonumber(number) > tonumber(redis.call('HGET', use, line) or -1) then
    redis.call('HSET', use, line, number)
  end
end

-- Of the places that are held: where those begin that did not end by `millis`, how many they are, when the first
-- becomes free.
local function held_at(packed, millis)
  local n_held, at, first = 0, PLACES_AT, nil
  local begin = at
  while at < #packed do
    local ending, n = struct.unpack(PLACES, packed, at)
    at = at + PLACES_LENGTH
    if ending > millis then
      n_held, first = n_held + n, first or ending
    else
      begin = at
    end
  end
  return begin, n_held, first
end

-- The places from `begin` on with `n` more, or less, that become free at `ending`; nil where none does.
local function with_places(packed, begin, ending, n)
  local at = #packed + 1 - PLACES_LENGTH
  while at >= begin do
    local its, held = struct.unpack(PLACES, packed, at)
    if its == ending then
      local changed = held + n > 0 and struct.pack(PLACES, ending, held + n) or ''
      return string.sub(packed, begin, at - 1) .. changed .. string.sub(packed, at + PLACES_LENGTH)
    elseif its < ending then
      break
    end
    at = at - PLACES_LENGTH
  end
  at = math.max(at + PLACES_LENGTH, begin)
  return n > 0 and string.sub(packed, begin, at - 1) .. struct.pack(PLACES, ending, n) .. string.sub(packed, at)
    or nil
end

-- The most of burst and of concurrency that calls of this hour used at once; what grew is noted for the drain.
-- `packed`: the counters, if they are of this hour.
local function most_at_once(use, minute, key_id, packed, burst, held)
  local most_burst, most_held = 0, 0
  if packed and #packed >= MOST_AT then
    most_burst, most_held = struct.unpack(MOST, packed, MOST_AT)
  end
  if burst > most_burst then
    most_burst = burst
    raise(use, minute .. '|' .. key_id .. '|most|of|burst', burst)
  end
  if held > most_held then
    most_held = held
    raise(use, minute .. '|' .. key_id .. '|most|of|concurrency', held)
  end
  return most_burst, most_held
end

-- The minute as the lines of `u` begin with it: making text of a number costs as much as counting it.
local minute_then, minute_text
local function line_begins(minute)
  if minute ~= minute_then then
    minute_then, minute_text = minute, minute .. '|'
  end
  return minute_text
end

-- keys: record, use
-- args: key id (12 characters), run (8), 's' to serve a policy past its time or 'n' (1), secret field (17) and a
--       nonce (10) in one; what is asked (ASKED). Each argument costs the server more than its unpacking here.
-- returns VERDICT, the shared limits' rest, identity; or a table (miss)
local function verify(keys, args)
  local floor, max, ceil, sub = math.floor, math.max, math.ceil, string.sub
  local time = redis.call('TIME')
  local now = tonumber(time[1])
  local record, who = keys[1], args[1]
  local got = redis.call('HMGET', record, 'p', 'c', sub(who, 22, 38))
  local policy, packed, secret = got[1], got[2], got[3]
  if not policy then
    return miss(record, who, now, 'EMPTY')
  end
  local _, run, fresh_until, status, flags = struct.unpack('<dc8I4BB', policy)
  if run ~= sub(who, 13, 20) then
    return miss(record, who, now, 'STALE')
  end
  local may_be_stale = sub(who, 21, 21) == 's'
  if not secret then
    -- Before the rest is unpacked: whoever floods us with false keys shall cost us little.
    if now >= fresh_until and not may_be_stale then
      return miss(record, who, now, 'STALE')
    elseif flags % SHARED == 1 then
      return verdict('NOT_FOUND', -1, -1, -1, now, 0, 0, 0)
    end
    return miss(record, who, now, 'UNKNOWN')
  end
  local _, _, _, _, _, starts, ends, rpm, rph, leases, increment, tolerance, budget,
    month, next_month, shift, environment, workspace, ranges, countries, scopes, models, features, identity, rest =
    struct.unpack(POLICY, policy)
  local cost, lease, grid, its_environment, address, country, its_workspace, its_scopes, model, its_features =
    struct.unpack(ASKED, args[2])
  local state, key_id = sub(secret, 1, 1), sub(who, 1, 12)
  local code, retry = DEAD_SECRET[state] or STATUS[status], 0
  -- What is dead stays dead, however old the record is.
  if now >= fresh_until and not (may_be_stale or status >= DEAD or DEAD_SECRET[state]) then
    return miss(record, who, now, 'STALE')
  end

  if not code then
    if starts > now then
      code = 'NOT_YET_VALID'
    elseif ends ~= 0 and now >= ends then
      code = 'EXPIRED'
    elseif (state == 'O' or state == 'o') and now >= struct.unpack('<I4', secret, 2) then
      code = 'EXPIRED'
    elseif state == 'l' or state == 'o' then
      return miss(record, who, now, 'UNPROVEN')
    elseif its_environment ~= ANY_ENVIRONMENT and its_environment ~= environment then
      code = 'WRONG_ENVIRONMENT'
    elseif its_workspace ~= '' and not string.find(workspace, ' ' .. its_workspace .. ' ', 1, true) then
      code = 'WRONG_WORKSPACE'
    elseif ranges ~= '' and not within(ranges, address) then
      code = 'IP_NOT_ALLOWED'
    elseif countries ~= '' and not string.find(countries, ' ' .. country .. ' ', 1, true) then
      code = 'COUNTRY_NOT_ALLOWED'
    elseif its_scopes ~= '' and not lists(scopes, its_scopes) then
      code = 'INSUFFICIENT_SCOPE'
    elseif model ~= '' and not lists(models, model) and not string.find(models, ' * ', 1, true) then
      code = 'MODEL_NOT_ALLOWED'
    elseif its_features ~= '' and not lists(features, its_features) and not string.find(features, ' * ', 1, true) then
      code = 'FEATURE_NOT_ALLOWED'
    end
  end

  local micros = now * 1000000 + tonumber(time[2])
  local minute, hour = floor(now / 60), floor((now + shift) / 3600)
  local window = now < month and month or next_month
  local in_minute, in_hour, arrival, spent, all = 0, 0, 0, 0, nil
  local millis, free_from, n_held, first, held = floor(micros / 1000), PLACES_AT, 0, nil, 0
  if code and flags >= QUARANTINED and NARROWED[code] then
    code = 'QUARANTINED'
  elseif flags % QUARANTINED >= SHARED and not code then
    all = in_common(record, policy, rest, minute, hour, window)
  end
  minute, in_minute, hour, in_hour, arrival, window, spent = used(packed, minute, hour, window)
  if not code then
    if arrival < micros then
      arrival = micros
    end
    if rpm > 0 and in_minute >= rpm then
      code, retry = 'RATE_LIMITED_MINUTE', (minute + 1) * 60 - now
    elseif rph > 0 and in_hour >= rph then
      code, retry = 'RATE_LIMITED_HOUR', (hour + 1) * 3600 - shift - now
    elseif tolerance > 0 and arrival + increment - micros > tolerance then
      code, retry = 'BURST_EXCEEDED', ceil((arrival + increment - micros - tolerance) / 1000000)
    elseif leases > 0 and lease > 0 then
      if packed then
        free_from, n_held, first = held_at(packed, millis)
      end
      if n_held >= leases then
        code, retry = 'CONCURRENCY_EXCEEDED', max(1, ceil((first - millis) / 1000))
      end
    end
    if all and not code then
      if all.rpm > 0 and all.in_minute >= all.rpm then
        code, retry = 'WORKSPACE_RATE_LIMITED_MINUTE', (all.minute + 1) * 60 - now
      elseif all.rph > 0 and all.in_hour >= all.rph then
        code, retry = 'WORKSPACE_RATE_LIMITED_HOUR', (all.hour + 1) * 3600 - shift - now
      end
    end
    if not code and budget >= 0 and (spent + cost > budget or spent >= budget) then
      code, retry = 'BUDGET_EXCEEDED', until_it_suffices(budget, cost, window - now)
    end
    if all and not code and all.budget >= 0
      and (all.spent + cost > all.budget or all.spent >= all.budget) then
      code, retry = 'WORKSPACE_BUDGET_EXCEEDED', until_it_suffices(all.budget, cost, all.month - now)
    end
  end

  if not code then
    code = 'VALID'
    in_minute, in_hour, spent = in_minute + 1, in_hour + 1, spent + cost
    if tolerance > 0 or leases > 0 then
      local in_use, places = 0, ''
      if tolerance > 0 then
        arrival = arrival + increment
        in_use = ceil((arrival - micros) / increment)
      end
      if leases > 0 and lease > 0 then
        local ending = ceil((millis + lease) / grid) * grid
        held, n_held = ending - now * 1000, n_held + 1
        places = with_places(packed or '', free_from, ending, 1)
      elseif leases > 0 and packed then
        places = sub(packed, PLACES_AT)
      end
      redis.call('HSET', record, 'c',
        struct.pack(COUNTERS_AND_MOST, minute, in_minute, hour, in_hour, arrival, window, spent,
          most_at_once(keys[2], minute, key_id, in_hour > 1 and packed, in_use, n_held)) .. places)
    else
      redis.call('HSET', record, 'c',
        struct.pack(COUNTERS, minute, in_minute, hour, in_hour, arrival, window, spent))
    end
    if all then
      count_in_common(all, cost)
    end
  end
  local begins = line_begins(minute) .. key_id
  local line = begins .. '|' .. code .. '|' .. address
  if redis.call('HINCRBY', keys[2], line, '1') == 1 and address ~= '' then
    bound_addresses(keys[2], line, key_id)
  end
  if cost > 0 and code == 'VALID' then
    redis.call('HINCRBY', keys[2], begins .. '|$', string.format('%.0f', cost))
  end
  local a, b, c = left(rpm, in_minute, rph, in_hour, budget, spent)
  if all then
    return verdict(code, a, b, c, now, retry, held, 1)
      .. struct.pack(SHARED_LEFT, left(all.rpm, all.in_minute, all.rph, all.in_hour, all.budget, all.spent))
      .. identity
  end
  return verdict(code, a, b, c, now, retry, held, 0) .. identity
end

-- Put what a call really cost in the place of what was reserved for it: in the month of its check, while that
-- month runs; `difference` in millionths of a USD.
local function settle(place, month, difference)
  local packed = redis.call('HGET', place, 'c')
  local minute, in_minute, hour, in_hour, arrival, window, spent = 0, 0, 0, 0, 0, 0, 0
  if packed then
    minute, in_minute, hour, in_hour, arrival, window, spent = struct.unpack(COUNTERS, packed)
  end
  if window > month then
    return
  end
  if window < month then
    window, spent = month, 0
  end
  redis.call('HSET', place, 'c', struct.pack(COUNTERS,
    minute, in_minute, hour, in_hour, arrival, window, math.max(0, spent + difference))
    .. string.sub(packed or '', MOST_AT))
  redis.call('EXPIRE', place, KEEP_SECONDS, 'NX')
end

-- Count an outcome under its line's beginning, `minute|family|`.
local function count_outcome(use, line, status, latency, class)
  if status ~= '' then
    redis.call('HINCRBY', use, line .. 's' .. status, 1)
  end
  if latency ~= '' then
    redis.call('HINCRBY', use, line .. 'l' .. class, 1)
    redis.call('HINCRBY', use, line .. 'ms', latency)
    raise(use, line .. 'max', latency)
  end
end

-- Free one of the places of this record that become free at `ending`; whether one was held.
local function release(record, ending)
  local time = redis.call('TIME')
  local packed = redis.call('HGET', record, 'c')
  if not packed or ending <= tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) then
    return false
  end
  local places = with_places(packed, PLACES_AT, ending, -1)
  if places then
    redis.call('HSET', record, 'c', string.sub(packed, 1, PLACES_AT - 1) .. places)
  end
  return places
end

-- One report of a gateway: take it unless its id was seen.
local function take_report(use, keep, keys, args)
  local mark, check, record, shared = unpack(keys)
  local line, status, latency, class, ending, month, reserved, counted, cost = unpack(args)
  if not redis.call('SET', mark, '', 'NX', 'EX', keep) then
    return 'REPEATED'
  end
  count_outcome(use, line, status, latency, class)
  if ending == '' then
    return 'TAKEN'
  end
  local done = redis.call('GET', check) or ''
  local answer, now_done = 'TAKEN NOT_HELD', done
  if ending ~= '0' and not string.find(done, 'l', 1, true) and release(record, tonumber(ending)) then
    answer, now_done = 'TAKEN RELEASED', now_done .. 'l'
  end
  if cost ~= '' and string.find(done, '$', 1, true) then
    answer = answer .. ' SETTLED_BEFORE'
  elseif cost ~= '' then
    local difference = tonumber(cost) - tonumber(reserved)
    settle(record, tonumber(month), difference)
    if shared ~= record then
      settle(shared, tonumber(month), difference)
    end
    redis.call('HINCRBY', use, line .. '$', string.format('%.0f', tonumber(cost) - tonumber(counted)))
    answer, now_done = answer .. ' SETTLED', now_done .. '$'
  end
  if now_done ~= done then
    redis.call('SET', check, now_done, 'EX', keep)
  end
  return answer
end

-- Take the reports of a gateway about calls that have ended (V7), each once, whatever is sent twice.
-- keys: use, then for each: mark of its id, mark of its check, record, and the counters of the workspace that the
--       check was counted in, too (the record again where it was not)
-- args: seconds for which the marks stand, then for each: beginning of its lines, status, latency in ms and its
--       class (each may be empty), when the check's place becomes free in ms since 1970 (0: it holds none; empty
--       where no check is named), the end of its budget month, what it reserved here, what was counted for it
--       (more than that where a process alone knew of it), and what the call cost in millionths of a USD (empty
--       where that is not told)
-- returns for each: REPEATED, or TAKEN and what became of the held place and of the reservation
local function report(keys, args)
  local answers = {}
  for i = 1, (#keys - 1) / 4 do
    local k, a = 4 * i - 2, 9 * i - 7
    answers[i] = take_report(keys[1], args[1], { unpack(keys, k, k + 3) }, { unpack(args, a, a + 8) })
  end
  return answers
end

-- Write a policy and the states of the key's secrets, unless a newer revision stands there.
-- keys: record, epoch, and where the workspace has limits its counters · args: the epoch from before the
-- database was read, revision, policy, seconds to keep, then field and state of each secret
-- returns PUT, OLDER (a newer one stands), or LOST (the store was emptied meanwhile, and with it perhaps
-- the news that the database had after it was read)
local function put(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return 'LOST'
  end
  local record = keys[1]
  local standing = redis.call('HGET', record, 'p')
  if standing and struct.unpack('<d', standing) > tonumber(args[2]) then
    return 'OLDER'
  end
  local values = { 'p', args[3] }
  for i = 5, #args, 2 do
    local state = args[i + 1]
    local known = redis.call('HGET', record, args[i])
    -- A secret proven once stays proven: its digest names the same text for ever.
    if known and string.find(known, '^[LO]') and string.find(state, '^[lo]') then
      state = string.upper(string.sub(state, 1, 1)) .. string.sub(state, 2)
    end
    values[#values + 1] = args[i]
    values[#values + 1] = state
  end
  redis.call('HSET', record, unpack(values))
  redis.call('HDEL', record, 'n')
  redis.call('EXPIRE', record, args[4])
  if keys[3] then
    redis.call('EXPIRE', keys[3], KEEP_SECONDS)
  end
  return 'PUT'
end

-- Remember for a while that the database knows no such family. keys: record · args: seconds
local function forget(keys, args)
  if redis.call('HEXISTS', keys[1], 'p') == 0 then
    redis.call('HSET', keys[1], 'n', tonumber(redis.call('TIME')[1]) + tonumber(args[1]))
    redis.call('EXPIRE', keys[1], args[1])
  end
  return 'OK'
end

-- Count a false key of an address or of a key id. keys: strikes · args: seconds until they are forgotten
local function strike(keys, args)
  local strikes = redis.call('INCR', keys[1])
  if strikes == 1 then
    redis.call('EXPIRE', keys[1], args[1])
  end
  return strikes
end

-- Move what was counted aside under a batch id and read it; a batch left by a dead worker comes first,
-- under the id it already has. keys: use, batch · args: id
local function take(keys, args)
  if redis.call('EXISTS', keys[2]) == 0 then
    if redis.call('HLEN', keys[1]) == redis.call('HEXISTS', keys[1], '=') then
      return {}
    end
    redis.call('RENAME', keys[1], keys[2])
    redis.call('HSET', keys[2], '#', args[1])
    -- The server looks through a hash of short lines from its beginning; with one long value it keeps an index.
    redis.call('HSET', keys[1], '=', string.rep('=', 65))
  end
  return redis.call('HGETALL', keys[2])
end

-- Drop a batch that is safe in the database. keys: batch · args: id
local function done(keys, args)
  if redis.call('HGET', keys[1], '#') == args[1] then
    return redis.call('UNLINK', keys[1])
  end
  return 0
end

redis.register_function('kagiban_verify_@VERSION@', verify)
redis.register_function('kagiban_report_@VERSION@', report)
redis.register_function('kagiban_begin_@VERSION@', begin)
redis.register_function('kagiban_put_@VERSION@', put)
redis.register_function('kagiban_forget_@VERSION@', forget)
redis.register_function('kagiban_strike_@VERSION@', strike)
redis.register_function('kagiban_take_@VERSION@', take)
redis.register_function('kagiban_done_@VERSION@', done)
