//! Loads plugins only to see whether they load, for `jdserver -t`: nothing is listened at, nothing runs later.

use std::rc::Rc;

use jiff::tz::TimeZone;
use mlua::MultiValue;

use crate::clock::Clock;
use crate::message::plugin::{PluginSources, PluginTable};
use crate::plugin::lib::host::Host;
use crate::plugin::program::Program;
use crate::plugin::task::Step;
use crate::settings::Settings;

/// What the plugins would handle. Errors: `FILE:LINE: MESSAGE`, as a load tells it.
pub fn check(
    settings: &Settings,
    sources: &PluginSources,
    zone: &TimeZone,
) -> Result<PluginTable, String> {
    let host = Host::new(
        Clock::start(),
        zone.clone(),
        settings.clone(),
        Rc::new(|_| true),
    );
    let program = Program::new(0, settings, sources, &host)?;
    let sandbox = program.sandbox();
    for chunk in program.chunks(sources)? {
        let mut task = sandbox.task(&chunk).map_err(|error| error.to_string())?;
        loop {
            match sandbox.resume(&mut task, Ok(MultiValue::new())) {
                // Timers, listeners, log lines: as if they were done.
                Step::Waits { .. } | Step::Preempted => {}
                Step::Done(_) => break,
                Step::Failed { error, .. } => {
                    // `jdRet` with code 0 ends a file in order.
                    program
                        .outcome_of(&error)
                        .map_err(|error| error.detail.into_owned())?;
                    break;
                }
                Step::Killed(why) => return Err(why),
            }
        }
    }
    program.finish_load()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn run(source: &str) -> Result<PluginTable, String> {
        let sources = PluginSources {
            plugins: vec![("api.lua".into(), source.as_bytes().into())],
            modules: vec![("lib/util.lua".into(), (*b"return 7").into())],
        };
        check(&Settings::default(), &sources, &TimeZone::UTC)
    }

    fn names(list: &[Box<str>]) -> Vec<&str> {
        list.iter().map(|name| &**name).collect()
    }

    #[test]
    fn what_plugins_define_is_listed() {
        let table = run(r#"
            local n = require("lib.util")
            setIntervalLocal(1000, function() end)
            logit("loaded")
            function api_hello(env) return n end
            AC_Base = class(JDApiBase)
            function AC_Base:api_get() end
            AC_Order = class(AC_Base)
            function AC_Order:api_pay() end
            function retfn_csv(ret, env) end
            X_RET_FN = "retfn_csv"
            on("push.b", function() end)
            on("push.a", function() end)
            on("close.a", function() end)
        "#)
        .expect("it loads");
        assert_eq!(
            names(&table.calls),
            ["Base.get", "Order.get", "Order.pay", "hello"]
        );
        assert_eq!(names(&table.objects), ["Base", "Order"]);
        assert_eq!(names(&table.shapes), ["csv"]);
        assert_eq!(table.default_shape.as_deref(), Some("csv"));
        assert_eq!(names(&table.events[0]), ["a", "b"]);
        assert_eq!(names(&table.events[3]), ["a"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (source, wanted) in [
            ("x = = 1", "api.lua:1: unexpected symbol near '='"),
            (
                "\nnosuch()",
                "api.lua:2: attempt to call a nil value (global 'nosuch')",
            ),
            ("on('puhs.a', print)", "api.lua:1: on(\"puhs.a\"): expected"),
            ("function api_push() end", "api_push: "),
            ("AC_Timer = class()", "AC_Timer: "),
            ("while true do end", "too much computing"),
            ("jdRet(5, 'not today')", "not today"),
            ("require('lib.nosuch')", "lib.nosuch"),
        ] {
            let error = run(source).expect_err(source);
            assert!(error.contains(wanted), "{source}: {error}");
        }
    }
}
