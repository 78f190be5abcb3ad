-- Work for lua: tables, strings, closures, coroutines, and collection of all of it.
-- SPDX-License-Identifier: MIT
local scale = tonumber(arg[1])
local state = 12345

local function random_next(limit)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 8 % limit
end

local function checksum(text)
    local sum = 0
    for i = 1, #text, 7 do
        sum = (sum * 31 + text:byte(i)) % 4294967296
    end
    return string.format("%d bytes, %08x", #text, sum)
end

local live = {}
for i = 1, 2000 * scale do
    live[random_next(100 * scale)] = { number = i, text = ("x"):rep(random_next(300)), list = { i, i + 1, i + 2 } }
end
local numbers = {}
for _, value in pairs(live) do
    numbers[#numbers + 1] = string.format("%d:%d", value.number, #value.text)
end
table.sort(numbers)
print("tables", #numbers, checksum(table.concat(numbers, ",")))

local text = {}
for i = 1, 500 * scale do
    text[i] = string.format("%05d:%s", i, string.char(97 + random_next(26)):rep(1 + random_next(12)))
end
text = table.concat(text, " ")
local changed, count = text:gsub("(%d+):(%a+)", function(number, word) return word:upper() .. number:reverse() end)
print("strings", count, checksum(changed))

local sum = 0
local producers = {}
for i = 1, 50 * scale do
    producers[i] = coroutine.wrap(function()
        local held = {}
        for k = 1, 20 do
            held[k] = ("c"):rep(k * i % 100)
            coroutine.yield(#held[k])
        end
    end)
end
for _ = 1, 20 do
    for _, producer in ipairs(producers) do
        sum = sum + producer()
    end
end
print("coroutines", sum)

local grown = ""
for i = 1, 100 * scale do
    grown = grown .. i
    if #grown > 50000 then
        grown = grown:sub(-1000)
    end
end
print("grown", checksum(grown))

live, text, producers, numbers = nil, nil, nil, nil
print("collected", collectgarbage())
