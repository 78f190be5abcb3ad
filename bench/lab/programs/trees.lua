-- trees.lua DEPTH - binary trees: builds and drops trees of all depths while a large one stays alive.
-- SPDX-License-Identifier: MIT
local function build(depth)
    if depth == 0 then
        return {}
    end
    return {build(depth - 1), build(depth - 1)}
end

local function count(tree)
    return tree[1] and 1 + count(tree[1]) + count(tree[2]) or 1
end

local deepest = tonumber(arg[1])
local long_lived = build(deepest)
for depth = 4, deepest, 2 do
    local turns, sum = 1 << (deepest - depth + 4), 0
    for _ = 1, turns do
        sum = sum + count(build(depth))
    end
    print(turns, depth, sum)
end
print(count(long_lived))
