//! The string functions beside Lua's own: same results, same errors.

use std::time::Duration;

use mlua::{Lua, MultiValue, Value};

use crate::plugin::sandbox::tests::{LIMITS, run, sandbox};
use crate::plugin::sandbox::value_text;
use crate::plugin::{Sandbox, SandboxLimits, Step};

/// Runs all of them on one text and pattern; what came of it as one text.
const ALL: &str = r#"
local function tell(...)
  local values = table.pack(...)
  for i = 1, values.n do values[i] = tostring(values[i]) end
  return table.concat(values, ",")
end
return function(s, p, r)
  local out = {}
  local function try(name, f, ...) out[#out + 1] = name .. "=" .. tell(pcall(f, ...)) end
  try("find", string.find, s, p)
  try("find 3", string.find, s, p, 3)
  try("find -2", string.find, s, p, -2)
  try("plain", string.find, s, p, 1, true)
  try("match", string.match, s, p)
  try("match 2", string.match, s, p, 2)
  try("gsub text", string.gsub, s, p, r)
  try("gsub 2", string.gsub, s, p, "<%0>", 2)
  try("gsub table", string.gsub, s, p, { a = "A", b = false, ab = 1 })
  try("gsub function", string.gsub, s, p, function(...) return tell(...) end)
  try("gmatch", function()
    local found = {}
    for a, b in string.gmatch(s, p) do found[#found + 1] = tell(a, b) end
    return table.concat(found, ";")
  end)
  try("gmatch 2", function()
    local found = {}
    for a in string.gmatch(s, p, 2) do found[#found + 1] = tell(a) end
    return table.concat(found, ";")
  end)
  return table.concat(out, "\n")
end
"#;

struct Both {
    theirs: Lua,
    ours: Sandbox,
}

impl Both {
    fn new() -> Self {
        let theirs = Lua::new();
        let all: Value = theirs.load(ALL).eval().expect("loads");
        theirs.globals().set("all", all).expect("set");
        let limits = SandboxLimits {
            compute: Duration::from_secs(60),
            ..LIMITS
        };
        let ours = sandbox(limits, &[]).0;
        run(&ours, &ALL.replace("\nreturn function", "\nfunction all"));
        Both { theirs, ours }
    }

    #[track_caller]
    fn check(&self, text: &[u8], pattern: &[u8], replacement: &[u8]) {
        let args = |lua: &Lua| {
            let values = [text, pattern, replacement]
                .map(|bytes| Value::String(lua.create_string(bytes).expect("memory")));
            MultiValue::from_iter(values)
        };
        let all: mlua::Function = self.theirs.globals().get("all").expect("a function");
        let theirs: mlua::LuaString = all.call(args(&self.theirs)).expect("runs");
        let all: mlua::Function = self.ours.lua().globals().get("all").expect("a function");
        let mut task = self.ours.task(&all).expect("memory");
        let mut step = self.ours.resume(&mut task, Ok(args(self.ours.lua())));
        while let Step::Preempted = step {
            step = self.ours.resume(&mut task, Ok(MultiValue::new()));
        }
        let Step::Done(values) = step else {
            panic!("{step:?}")
        };
        let ours = value_text(&values[0]);
        let plain = |text: &str| {
            text.lines()
                .map(without_place)
                .collect::<Vec<_>>()
                .join("\n")
        };
        let (ours, theirs) = (plain(&ours), plain(&theirs.to_string_lossy()));
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(
            ours,
            theirs,
            "{:?} {:?} {:?}",
            show(text),
            show(pattern),
            show(replacement)
        );
    }
}

/// An error without the line before it: Lua's own have none where `pcall` calls them.
fn without_place(line: &str) -> String {
    match line.split_once("=false,") {
        Some((name, error)) => format!("{name}=false,{}", error.rsplit(": ").next().unwrap_or("")),
        None => line.to_owned(),
    }
}

#[test]
fn they_do_what_those_of_lua_do() {
    let both = Both::new();
    let texts = [
        "",
        "a",
        "hello world",
        "key = value, k2=v2",
        "THE (quick) fox",
        "a.b-c",
        "[[x]]",
        "  trim  ",
        "\0a\0",
        "aaa",
        "x^y$z",
        "f(a(b)c)d)",
        "1.5e10",
        "日本",
    ];
    let patterns = [
        "",
        "a",
        "l+",
        "l*",
        "l-",
        "l?",
        ".",
        ".*",
        ".-",
        "^",
        "$",
        "^$",
        "^h",
        "d$",
        "^hello world$",
        "^.*$",
        "a$b",
        "x^y",
        "%$",
        "%^",
        "%.",
        "%a+",
        "%A+",
        "%d",
        "%D",
        "%l",
        "%L",
        "%u",
        "%U",
        "%s+",
        "%S+",
        "%w+",
        "%W+",
        "%x+",
        "%X",
        "%p",
        "%P",
        "%c",
        "%C",
        "%g+",
        "%G",
        "%z",
        "%%",
        "%b()",
        "%bxy",
        "%b((",
        "%f[%a]%a+",
        "%f[%w]",
        "%f[^%w]",
        "%f[\0]",
        "[a-z]+",
        "[^a-z]+",
        "[]]",
        "[^]]",
        "[a-]",
        "[-a]",
        "[%a-z]",
        "[a-%%]",
        "[%]]",
        "[[]",
        "[z-a]",
        "()",
        "()a()",
        "(a)",
        "(a*(.)%w(%s*))",
        "(.)%1",
        "(%w+) = (%w+)",
        "(%w+)%s*=%s*(%w+)",
        "(a*)*",
        "(a)(b)?",
        "((a))",
        "(()a)",
        "%1",
        "(%1)",
        "(a)%2",
        "(",
        ")",
        "(a",
        "a)",
        "%",
        "a%",
        "[",
        "[a",
        "[a-",
        "[%",
        "[%a",
        "[^",
        "[^]",
        "%b",
        "%bx",
        "%f",
        "%fa",
        "%f[",
        "%0",
        "^*",
        "*",
        "+a",
        "?",
        "-",
        "a**",
        "a+-",
        "^^",
        "$$",
        "a-$",
        "(%S+)$",
        "^%s*(.-)%s*$",
        "[\0]",
        "\0",
        "%\0",
        "[%s,]+",
        "日",
        "[日]",
        "[\u{80}-\u{ff}]+",
    ];
    for text in texts {
        for pattern in patterns {
            both.check(text.as_bytes(), pattern.as_bytes(), b"<%0|%1>");
        }
    }
    for replacement in [
        "", "%", "%%", "%0%0", "%1", "%2", "%9", "%a", "x%", "%%1", "日",
    ] {
        for pattern in ["a", "(a)", "()a", "", "(a)(b)?", "^a"] {
            both.check(b"banana", pattern.as_bytes(), replacement.as_bytes());
        }
    }
    // As many captures as there may be, and one more.
    both.check(&[b'x'; 40], "(x)".repeat(32).as_bytes(), b"%9");
    both.check(&[b'x'; 40], "(x)".repeat(33).as_bytes(), b"%9");
    both.check(&[b'x'; 40], "(".repeat(33).as_bytes(), b"");
    both.check(&[b'x'; 300], "x?".repeat(199).as_bytes(), b"");
    both.check(&[b'x'; 300], "x?".repeat(201).as_bytes(), b"");
    // More matches than are handed over at once, and than are joined at once.
    both.check(&b"ab ".repeat(3_000), b"(a)(b)", b"%2%1");
    both.check(&b"ab ".repeat(3_000), b"%w+", b"");
}

#[test]
fn they_do_so_on_random_patterns() {
    let seed = std::time::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .subsec_nanos()
        .into();
    println!("seed {seed}");
    let mut state: u64 = seed;
    let mut random = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let items: [&[u8]; 32] = [
        b"a", b"b", b"a", b"b", b".", b"*", b"+", b"-", b"?", b"(", b")", b"()", b"[ab]", b"[^a]",
        b"[", b"]", b"^", b"$", b"%a", b"%d", b"%b()", b"%bab", b"%f[a]", b"%f[^b]", b"%1", b"%2",
        b"%", b"\0", b"1", b"[a-b%d]", b"(a", b".-",
    ];
    let letters: [&[u8]; 8] = [b"a", b"b", b"a", b"(", b")", b"1", b"\0", b" "];
    let both = Both::new();
    for _ in 0..1_500 {
        let text: Vec<u8> = (0..random(12))
            .flat_map(|_| letters[random(letters.len())].to_vec())
            .collect();
        let pattern: Vec<u8> = (0..random(8))
            .flat_map(|_| items[random(items.len())].to_vec())
            .collect();
        let replacement: Vec<u8> = (0..random(4))
            .flat_map(|_| [&b"%0"[..], b"%1", b"x", b"%2"][random(4)].to_vec())
            .collect();
        both.check(&text, &pattern, &replacement);
    }
}
