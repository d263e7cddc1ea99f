-- Databases for plugins. Values are bound, never pasted: each `?` of a statement takes the next one. In a call, its first change begins a
-- transaction that ends with the call: committed, or rolled back where it fails.
local op, rust, shared = ...
local check, raise = shared.check, shared.raise

local function run(kind, sql, values)
  if values ~= nil and type(values) ~= "table" then
    values = { values }
  end
  local ok, first, second = op.database(kind, sql, values or {})
  if not ok then
    raise(3, nil, first)
  end
  return first, second
end

-- A name of a table or column, quoted as MySQL and SQLite both take it.
local function name_of(name, what)
  if type(name) ~= "string" or not name:find("^[%w_\x80-\xff][%w_%-\x80-\xff]*$") then
    error(what .. ": bad name " .. tostring(name), 3)
  end
  return "`" .. name .. "`"
end

-- Columns and values of a table, in the order of the names.
local function columns_of(kv, what)
  local names, columns, values = {}, {}, {}
  for name in pairs(kv) do
    names[#names + 1] = name
  end
  table.sort(names)
  for at, name in ipairs(names) do
    columns[at] = name_of(name, what)
    values[at] = kv[name]
  end
  return columns, values
end

local G = {}

-- queryAll(sql, values?) -> a list of rows, each an object by column; NULL is no member.
--   for _, row in ipairs(queryAll("SELECT id, name FROM User WHERE age > ?", { 18 })) do … end
function G.queryAll(sql, values)
  check(sql, "string", "queryAll", 1)
  return (run("query", sql, values))
end

-- queryOne(sql, values?) -> of the first row its one column's value, or all of it as an object; nil without a row.
--   local n = queryOne("SELECT COUNT(*) FROM User")
function G.queryOne(sql, values)
  check(sql, "string", "queryOne", 1)
  local rows, columns = run("query", sql, values)
  if columns == 1 then
    local row = rows[1]
    if row then
      local _, value = next(row)
      return value
    end
    return nil
  end
  return rows[1]
end

-- execOne(sql, values?, wantsId?) -> how many rows it changed, or the id that it made.
function G.execOne(sql, values, wantsId)
  check(sql, "string", "execOne", 1)
  local count, id = run("exec", sql, values)
  return wantsId and id or count
end

-- dbInsert(table, kv) -> the id of the new row.
--   local id = dbInsert("User", { name = "Liang", age = 20 })
function G.dbInsert(name, kv)
  check(kv, "table", "dbInsert", 2)
  local columns, values = columns_of(kv, "dbInsert")
  local marks = ("?,"):rep(#columns):sub(1, -2)
  local sql = "INSERT INTO " .. name_of(name, "dbInsert") .. " (" .. table.concat(columns, ",") .. ") VALUES (" .. marks .. ")"
  local _, id = run("exec", sql, values)
  return id
end

-- dbUpdate(table, kv, cond, values?) -> how many rows it changed. cond: an id, an object of columns that must be equal, or text with `?` for
-- values; there is no update without one.
--   dbUpdate("User", { age = 21 }, { name = "Liang" })
function G.dbUpdate(name, kv, cond, values)
  check(kv, "table", "dbUpdate", 2)
  local columns, all = columns_of(kv, "dbUpdate")
  if #columns == 0 then
    return 0
  end
  local where, further
  if type(cond) == "number" then
    where, further = "`id`=?", { cond }
  elseif type(cond) == "table" and next(cond) ~= nil then
    local names
    names, further = columns_of(cond, "dbUpdate")
    where = table.concat(names, "=? AND ") .. "=?"
  elseif type(cond) == "string" and cond ~= "" then
    where, further = cond, type(values) == "table" and values or { values }
  else
    error("dbUpdate: expected a condition as argument 3: an id, an object or text", 2)
  end
  for _, value in ipairs(further) do
    all[#all + 1] = value
  end
  local sql = "UPDATE " .. name_of(name, "dbUpdate") .. " SET " .. table.concat(columns, "=?,") .. "=? WHERE " .. where
  return (run("exec", sql, all))
end

return G
