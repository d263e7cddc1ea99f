//! One call under way: the request that it came by, and what it adds to the response. Checks what goes there; never
//! sends it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{AnyUserData, Lua, LuaString, Table};

use crate::call::answer::Page;
use crate::call::callback;
use crate::limits::{
    PLUGIN_HEADERS_BYTES_MAX, PLUGIN_HEADERS_MAX, PLUGIN_PAGE_BYTES_MAX, PLUGIN_TEXT_BYTES_MAX,
};
use crate::message::plugin::{CallTraces, RequestInfo, SessionUse};
use crate::plugin::sandbox::{Sandbox, error_text};
use crate::proto::token;

/// What a call's coroutine and whoever ends it share. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::plugin) struct CallState(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    request: Option<Arc<RequestInfo>>,
    traces: CallTraces,
    content_type: Option<Box<str>>,
    /// What the plugin wrote, once it did.
    body: Option<Vec<u8>>,
}

impl CallState {
    pub fn new(request: Option<Arc<RequestInfo>>) -> Self {
        let state = CallState::default();
        state.0.borrow_mut().request = request;
        state
    }

    /// For Lua, where nothing can be done with it but to hand it back.
    pub fn userdata(&self, lua: &Lua) -> mlua::Result<AnyUserData> {
        lua.create_any_userdata(self.clone())
    }

    /// What the plugin wrote itself, and what else it left. Leaves nothing.
    pub fn take(&self) -> (Option<Page>, CallTraces) {
        let mut inner = self.0.borrow_mut();
        let page = inner.body.take().map(|body| Page {
            content_type: inner.content_type.take().unwrap_or_else(|| TEXT.into()),
            body: body.into(),
        });
        (page, std::mem::take(&mut inner.traces))
    }

    /// The same of a shape: a body in place of what the plugin wrote, or at least an empty one.
    pub fn page(&self, body: Option<Vec<u8>>) -> (Page, CallTraces) {
        {
            let mut inner = self.0.borrow_mut();
            let written = inner.body.take().unwrap_or_default();
            inner.body = Some(body.unwrap_or(written));
        }
        let (page, traces) = self.take();
        (page.unwrap_or_else(empty_page), traces)
    }

    fn header(&self, name: &str) -> Option<String> {
        let inner = self.0.borrow();
        let request = inner.request.as_ref()?;
        let of_name = |(given, _): &&(Box<str>, Box<str>)| given.eq_ignore_ascii_case(name);
        let values: Vec<&str> = request
            .headers
            .iter()
            .filter(of_name)
            .map(|(_, value)| &**value)
            .collect();
        let between = match name.eq_ignore_ascii_case("cookie") {
            true => "; ",
            false => ", ",
        };
        (!values.is_empty()).then(|| values.join(between))
    }

    fn headers(&self, lua: &Lua) -> mlua::Result<Table> {
        let table = lua.create_table()?;
        let inner = self.0.borrow();
        for (name, _) in inner.request.iter().flat_map(|request| &request.headers) {
            table.raw_set(&**name, self.header(name))?;
        }
        crate::plugin::values::mark_object(lua, &table)?;
        Ok(table)
    }

    fn set_header(&self, name: &str, value: &str) -> Result<(), String> {
        if !token::is_token(name.as_bytes()) || callback::is_framing(name) || is_ours(name) {
            return Err(format!("header: {name} cannot be set"));
        }
        let is_bad = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
        if value.bytes().any(is_bad) {
            return Err(format!(
                "header: {name}: expected a value without line ends or other control characters"
            ));
        }
        let mut inner = self.0.borrow_mut();
        if name.eq_ignore_ascii_case("Content-Type") {
            inner.content_type = Some(value.into());
            return Ok(());
        }
        let is_many = name.eq_ignore_ascii_case("Set-Cookie");
        if !is_many {
            inner
                .traces
                .headers
                .retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        }
        let headers = &mut inner.traces.headers;
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        if headers.len() >= PLUGIN_HEADERS_MAX
            || bytes + name.len() + value.len() + 4 > PLUGIN_HEADERS_BYTES_MAX
        {
            return Err("header: too many or too long ones".to_owned());
        }
        headers.push((name.into(), value.into()));
        Ok(())
    }

    fn write(&self, text: &[u8]) -> Result<(), String> {
        let mut inner = self.0.borrow_mut();
        let body = inner.body.get_or_insert_default();
        if body.len() + text.len() > PLUGIN_PAGE_BYTES_MAX {
            return Err(format!(
                "write: expected at most {PLUGIN_PAGE_BYTES_MAX} bytes in all"
            ));
        }
        body.extend_from_slice(text);
        Ok(())
    }

    fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.header("cookie")?;
        let pair = |pair: &str| {
            let (given, value) = pair.trim_ascii().split_once('=')?;
            (given == name).then(|| value.trim_matches('"').to_owned())
        };
        cookies.split(';').find_map(pair)
    }

    /// The call uses a session, begun by it where `name` is its cookie's. Whoever logs out is who was logged in.
    fn use_session(&self, id: &str, user: Option<i64>, name: Option<&str>) {
        let mut inner = self.0.borrow_mut();
        let before = inner.traces.session.take().unwrap_or_default();
        let cookie = name.map(|name| format!("{name}={id}").into());
        inner.traces.session = Some(Box::new(SessionUse {
            id: id.into(),
            user: user.or(before.user),
            cookie: cookie.or(before.cookie),
        }));
    }

    /// Method, path, query and address.
    fn request(&self) -> Option<[String; 4]> {
        let inner = self.0.borrow();
        let request = inner.request.as_ref()?;
        let texts = [
            &request.method,
            &request.path,
            &request.query,
            &request.address,
        ];
        Some(texts.map(|text| text.to_string()))
    }

    /// The query's text.
    pub fn query(&self) -> String {
        let inner = self.0.borrow();
        let query = inner.request.as_ref().map(|request| &*request.query);
        query.unwrap_or_default().to_owned()
    }
}

const TEXT: &str = "text/plain; charset=UTF-8";

fn empty_page() -> Page {
    Page {
        content_type: TEXT.into(),
        body: Box::default(),
    }
}

/// Headers that the daemon writes itself.
fn is_ours(name: &str) -> bool {
    name.eq_ignore_ascii_case("Date") || name.eq_ignore_ascii_case("Content-Encoding")
}

/// Puts functions for `env.lua` into `host`.
pub(super) fn install(sandbox: &Sandbox, host: &Table) -> mlua::Result<()> {
    let header = |lua: &Lua, (state, name): (AnyUserData, Option<LuaString>)| {
        let state = of(&state)?;
        let value = match name {
            Some(name) => state
                .header(&name.to_string_lossy())
                .map(|value| lua.create_string(value))
                .transpose()
                .map(|value| value.map(mlua::Value::String)),
            None => state
                .headers(lua)
                .map(|table| Some(mlua::Value::Table(table))),
        };
        value.map_err(|error| error_text(&error))
    };
    host.raw_set("header", sandbox.function("header", header)?)?;
    let set = |_: &Lua, (state, name, value): (AnyUserData, LuaString, LuaString)| {
        of(&state)?.set_header(&name.to_string_lossy(), &value.to_string_lossy())
    };
    host.raw_set("setHeader", sandbox.function("header", set)?)?;
    let write =
        |_: &Lua, (state, text): (AnyUserData, LuaString)| of(&state)?.write(&text.as_bytes());
    host.raw_set("write", sandbox.function("write", write)?)?;
    let cookie = |_: &Lua, (state, name): (AnyUserData, LuaString)| {
        Ok(of(&state)?.cookie(&name.to_string_lossy()))
    };
    host.raw_set("cookie", sandbox.function("cookie", cookie)?)?;
    let set_cookie =
        |_: &Lua, (state, name, value): (AnyUserData, LuaString, Option<LuaString>)| {
            let name = name.to_string_lossy();
            let text = match value {
                Some(value) => format!(
                    "{name}={}; Path=/; HttpOnly; SameSite=Lax",
                    value.to_string_lossy()
                ),
                None => format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),
            };
            of(&state)?.set_header("Set-Cookie", &text)
        };
    host.raw_set("setCookie", sandbox.function("session", set_cookie)?)?;
    let session = |_: &Lua, arguments: (AnyUserData, LuaString, Option<i64>, Option<LuaString>)| {
        let (state, id, user, name) = arguments;
        let name = name.map(|name| name.to_string_lossy());
        of(&state)?.use_session(&id.to_string_lossy(), user, name.as_deref());
        Ok(())
    };
    host.raw_set("useSession", sandbox.function("session", session)?)?;
    let request = |_: &Lua, state: AnyUserData| {
        Ok(of(&state)?
            .request()
            .map(mlua::Variadic::from_iter)
            .unwrap_or_default())
    };
    host.raw_set("request", sandbox.function("request", request)?)
}

fn of(state: &AnyUserData) -> Result<CallState, String> {
    state
        .borrow::<CallState>()
        .map(|state| state.clone())
        .map_err(|_| "expected an env".to_owned())
}

const _: () = assert!(PLUGIN_PAGE_BYTES_MAX <= PLUGIN_TEXT_BYTES_MAX);
