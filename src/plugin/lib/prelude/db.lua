-- The database. Values are bound, never pasted; in a call all statements are one transaction, which is committed when it
-- answers and rolled back when it fails; in handlers each statement is its own. Errors: code 3, the database's words.
local host, ours, op, Env, null = ...
local raise, check, fail = host.raise, ours.check, ours.fail
local type, next, pairs, ipairs, concat = type, next, pairs, ipairs, table.concat
local find, tointeger = string.find, math.tointeger
local name, sorted = host.sqlName, host.sortedNames
local G = {}

local function statement(kind, sql, values)
  if type(sql) ~= "string" then raise("expected an SQL statement") end
  if values ~= nil and type(values) ~= "table" then values = { values } end
  local env = ours.current()
  -- Its end is the end of the call that it is part of.
  if env then (env._root or env)._usesDatabase = true end
  local ok, first, second = op.database(kind, sql, values or {})
  if not ok then fail(3, first) end
  return first, second
end

-- As in the original, the flag may stand where the values do.
local function arguments(values, flag)
  if type(values) == "boolean" then return nil, values end
  return values, flag
end

-- queryAll(sql, values?): all rows, each an object by column; NULL is no member.
-- Example: for _, row in ipairs(queryAll("SELECT id, name FROM User WHERE age>?", { 18 })) do … end
function G.queryAll(sql, values)
  return (statement("query", sql, (arguments(values))))
end

-- queryOne(sql, values?, assoc?): the first row, an object by column, or where it has one column, unless assoc is true, its bare
-- value. Nil where there is no row.
-- Example: local n = queryOne("SELECT COUNT(*) FROM User WHERE age>?", { 18 })
function G.queryOne(sql, values, assoc)
  values, assoc = arguments(values, assoc)
  local rows, columns = statement("query", sql, values)
  local row = rows[1]
  if row and columns == 1 and not assoc then
    local _, value = next(row)
    return value
  end
  return row
end

-- execOne(sql, values?, wantsId?): changes something; how many rows it touched, or the id that an INSERT made.
-- Example: execOne("UPDATE User SET name=? WHERE id=?", { name, id })
function G.execOne(sql, values, wants_id)
  values, wants_id = arguments(values, wants_id)
  local count, id = statement("exec", sql, values)
  if wants_id then return id end
  return count
end

-- dbInsert(table, row): inserts an object's members as columns; the new id. `null` is NULL.
-- Example: local id = dbInsert("Ordr", { userId = uid, amount = 9.5 })
function G.dbInsert(into, row)
  into = name(into)
  check(row, 2, "dbInsert", "table")
  local columns, marks, values = {}, {}, {}
  for i, key in ipairs(sorted(row)) do
    columns[i], marks[i], values[i] = name(key), "?", row[key]
  end
  if #columns == 0 then raise("dbInsert: expected a row with columns") end
  local sql = "INSERT INTO " .. into .. " (" .. concat(columns, ",") .. ") VALUES (" .. concat(marks, ",") .. ")"
  return G.execOne(sql, values, true)
end

-- dbUpdate(table, row, cond, values?): sets columns where cond holds; how many rows it touched. cond: a condition with ? for
-- each of values, an object of columns that must be equal, an id (a text of digits, too), or "ALL".
-- Example: dbUpdate("Ordr", { status = "PA" }, "id=? AND status=?", { id, "CR" })
function G.dbUpdate(into, row, cond, more)
  into = name(into)
  check(row, 2, "dbUpdate", "table")
  local set, values = {}, {}
  for i, key in ipairs(sorted(row)) do
    set[i], values[i] = name(key) .. "=?", row[key]
  end
  if #set == 0 then raise("dbUpdate: expected a row with columns") end
  local where
  if type(cond) == "table" then
    local parts = {}
    for i, key in ipairs(sorted(cond)) do
      if cond[key] == null then
        parts[i] = name(key) .. " IS NULL"
      else
        parts[i], values[#values + 1] = name(key) .. "=?", cond[key]
      end
    end
    where = concat(parts, " AND ")
  elseif type(cond) == "number" or type(cond) == "string" and find(cond, "^%s*[%+%-]?%d+%s*$") then
    -- A parameter's text, too: as a condition, "5" would be true of all rows.
    where, values[#values + 1] = "id=?", tointeger(cond) or cond
  elseif type(cond) == "string" and cond ~= "ALL" then
    where = cond
    for i = 1, more and #more or 0 do values[#values + 1] = more[i] end
  end
  if cond ~= "ALL" and (where == nil or where == "") then
    raise('dbUpdate: expected a condition, or "ALL" for all rows')
  end
  return G.execOne("UPDATE " .. into .. " SET " .. concat(set, ",") .. (where and " WHERE " .. where or ""), values)
end

for key, f in pairs(G) do
  Env[key] = function(_, ...) return f(...) end
end

return G
