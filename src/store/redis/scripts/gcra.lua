-- The arithmetic of one limit, the same as `Quota` in src/store/limits.rs. All in microseconds.

-- How long a request has to wait at this level; zero if it passes.
local function wait_for(level, step, tolerance)
    return math.max(level + step - tolerance, 0)
end

-- Requests that would pass at this level.
local function remaining_at(level, step, tolerance)
    return math.floor(math.max(tolerance - level, 0) / step)
end

