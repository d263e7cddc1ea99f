-- What `require("lib.money")` gives.
return {
  round = function(amount)
    return math.floor(amount * 100 + 0.5) / 100
  end,
}
