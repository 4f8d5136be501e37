-- Places eight queens on a chessboard so that none attacks another, and counts all the ways.
local size = 8

local function solve(row, columns, rising, falling, places, found)
  if row > size then
    found.count = found.count + 1
    found.first = found.first or table.concat(places, " ")
    return
  end
  for column = 1, size do
    local up, down = row + column, row - column
    if not (columns[column] or rising[up] or falling[down]) then
      columns[column], rising[up], falling[down] = true, true, true
      places[row] = column
      solve(row + 1, columns, rising, falling, places, found)
      columns[column], rising[up], falling[down] = nil, nil, nil
    end
  end
end

local found = { count = 0 }
solve(1, {}, {}, {}, {}, found)
print(("first solution: %s"):format(found.first))
for column in found.first:gmatch("%d") do
  print(("."):rep(column - 1) .. "Q" .. ("."):rep(size - column))
end
print(found.count .. " solutions")
