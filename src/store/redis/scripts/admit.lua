-- Looks up a bearer, then takes from every counter: from all of them or, when one refuses, from
-- none.
--
-- KEYS: the revocation keys of the bearer's token, session and user (or none of them), then one
--       per counter
-- ARGV: how many revocation keys, the bearer's version, then for each counter: step, tolerance (with
--       `:ceiling` behind it where a counter may stand higher than that),
--       1 if it is charged whatever the bearer's standing, and how many requests it is asked for; with
--       `:cost:room` behind that, the first of them costs and needs so much instead of a step
-- Answers, with a space between, the standing (0 good, 1 revoked, 2 stale), then for each counter that was judged:
--       wait, remaining, level, and for how many requests it was charged
if #KEYS == 0 then
    return '0'
end
-- A request may take this part of what remains in a bucket, so that the last ones go out singly.
local PART = 8
local held = redis.call('MGET', unpack(KEYS))

local bearer_keys = tonumber(ARGV[1])
local standing = 0
if bearer_keys > 0 then
    if held[1] or held[2] then
        standing = 1
    elseif held[3] and tonumber(ARGV[2]) < tonumber(held[3]) then
        standing = 2
    end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local judged = {}
local all_pass = true
for counter = 1, #KEYS - bearer_keys do
    local argument = 4 * counter - 1
    if standing == 0 or ARGV[argument + 2] == '1' then
        local key = bearer_keys + counter
        local step = tonumber(ARGV[argument])
        local tolerance = tonumber(ARGV[argument + 1])
        local ceiling = tolerance
        if not tolerance then
            tolerance, ceiling = string.match(ARGV[argument + 1], '^(%d+):(%d+)$')
            tolerance, ceiling = tonumber(tolerance), tonumber(ceiling)
        end
        local asked, cost, room = tonumber(ARGV[argument + 3]), step, step
        if not asked then
            asked, cost, room = string.match(ARGV[argument + 3], '^(%d+):(%d+):(%d+)$')
            asked, cost, room = tonumber(asked), tonumber(cost), tonumber(room)
        end
        local level = math.max((tonumber(held[key]) or 0) - now, 0)
        if level > ceiling then
            -- It was counted by another rate, from before a reload. Written also for a request that is refused: it
            -- would stand there until the old rate has drained it.
            level = ceiling
            redis.call('SET', KEYS[key], string.format('%.0f', now + level), 'PX', math.ceil(level / 1000))
        end
        local wait = wait_for(level, room, tolerance)
        all_pass = all_pass and wait == 0
        judged[#judged + 1] = {key = KEYS[key], step = step, tolerance = tolerance, level = level, wait = wait,
            asked = asked, cost = cost}
    end
end

local answer = {standing}
for _, counter in ipairs(judged) do
    local level, granted = counter.level, 0
    if all_pass then
        local part = math.floor(remaining_at(level, counter.step, counter.tolerance) / PART)
        granted = math.max(math.min(counter.asked, part), 1)
        local added = counter.cost + (granted - 1) * counter.step
        level = level + added
        if added > 0 then
            redis.call('SET', counter.key, string.format('%.0f', now + level), 'PX', math.ceil(level / 1000))
        end
    end
    local remaining = remaining_at(level, counter.step, counter.tolerance)
    answer[#answer + 1] = string.format('%.0f %.0f %.0f %.0f', counter.wait, remaining, level, granted)
end
-- One string is parsed in a fraction of the time of an array.
return table.concat(answer, ' ')
