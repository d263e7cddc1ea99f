//! What each call about timers does and answers (contract 5, issue 3). Reads no request: that is done when it
//! comes here.

use serde_json::{Map, Value};

use crate::call::answer::{Answer, Data};
use crate::call::error::CallError;
use crate::ids::ConnId;
use crate::limits::{KEPT_TIMERS_MAX, ONE_SHOTS_BYTES_MAX};
use crate::message::{TimerCall, TimerKey, TimerRequest};
use crate::proto::json;
use crate::state::timers::book::Kept;
use crate::state::timers::fields::{self, Fields, Plan, Rhythm};
use crate::state::timers::machine::Timers;

impl Timers {
    /// Answers a call, now or when what it changes is on disk.
    pub(super) fn handle_call(&mut self, call: TimerCall) {
        let to = call.reply_to;
        let outcome = match call.request {
            TimerRequest::Set(fields) => self.set(to, fields),
            TimerRequest::Change(key, fields) => self.change(to, &key, fields),
            TimerRequest::Enable(key, is_enabled) => self.enable(to, &key, is_enabled),
            TimerRequest::Del(key) => self.del(to, &key),
            TimerRequest::Run(key) => self.run(&key).map(Some),
            TimerRequest::Clear => {
                self.clear((to, Ok(Data::Null)));
                Ok(None)
            }
            TimerRequest::Retry(id) => self.retry_failed(to, id),
            TimerRequest::Query { text, limit } => {
                self.list(to, text, limit);
                Ok(None)
            }
            TimerRequest::Get(key) => self.row_of(&key).map(Some),
            TimerRequest::Log(key) => self.log_of(&key).map(Some),
            TimerRequest::Failed => {
                self.list_failed(to);
                Ok(None)
            }
            TimerRequest::Preview { cron, tz, from, n } => {
                self.preview(&cron, tz.as_deref(), from, n).map(Some)
            }
        };
        match outcome {
            Ok(Some(data)) => self.reply(to, Ok(data)),
            // Its change answers for it.
            Ok(None) => {}
            Err(error) => self.reply(to, Err(error)),
        }
    }

    fn set(&mut self, to: ConnId, fields: Map<String, Value>) -> Result<Option<Data>, CallError> {
        if self.stopping {
            return Err(CallError::new(4, "the server is stopping"));
        }
        let fields = fields::normalize(fields, &self.zone)?;
        let plan = Plan::read(&fields, &self.zone, self.zones)?;
        let request = self.build(&fields)?;
        if let Rhythm::Once(wait_ms) = plan.rhythm
            && !plan.persist
        {
            if self.queue.len() >= crate::limits::TIMERS_PENDING_MAX as usize {
                return Err(full());
            }
            let fields = Value::Object(fields);
            let text = json::to_text(&fields);
            if self.texts.bytes() + text.len() > ONE_SHOTS_BYTES_MAX {
                return Err(full());
            }
            let id = self.new_one_shot_id();
            self.texts.insert(id, &text);
            if wait_ms + plan.splay_ms == 0
                && let Value::Object(fields) = fields
            {
                self.fire_one_shot(id, self.now.mono_ms, Some((fields, request)));
                return Ok(Some(Data::Null));
            }
            let due_ms = self.after_ms(wait_ms + plan.splay_ms);
            // Never full: looked at above.
            let _ = self.queue.add(id, due_ms);
            return Ok(Some(Data::Json(id.into())));
        }
        self.set_kept(to, &fields, plan)
    }

    fn set_kept(
        &mut self,
        to: ConnId,
        fields: &Fields,
        plan: Plan,
    ) -> Result<Option<Data>, CallError> {
        let same = plan.code.as_deref().and_then(|code| self.book.id_of(code));
        if let Some(id) = same
            && (id < 0) != plan.is_once()
        {
            return Err(taken(plan.code.as_deref().unwrap_or_default(), id));
        }
        if same.is_none()
            && (self.book.count() >= KEPT_TIMERS_MAX || self.book.bytes() > ONE_SHOTS_BYTES_MAX)
        {
            return Err(full());
        }
        let id = match same {
            Some(id) => id,
            None if plan.is_once() => self.new_one_shot_id(),
            None => {
                self.next_id += 1;
                self.next_id - 1
            }
        };
        let kept = self.new_kept(id, fields, Ok(Box::new(plan)));
        self.put_like(kept, Some((to, Ok(Data::Json(id.into())))));
        Ok(None)
    }

    fn change(
        &mut self,
        to: ConnId,
        key: &TimerKey,
        changes: Map<String, Value>,
    ) -> Result<Option<Data>, CallError> {
        let id = self.id_of(key)?;
        let is_removed: Vec<String> = changes
            .iter()
            .filter(|(_, value)| value.is_null())
            .map(|(name, _)| name.clone())
            .collect();
        let changes = fields::normalize(changes, &self.zone)?;
        let has_new_time = changes.contains_key("wait");
        let mut fields = self.fields_by_id(id);
        for name in is_removed {
            fields.shift_remove(&name);
        }
        fields.extend(changes);
        let plan = self.checked(&fields)?;
        if plan.is_once() != (id < 0) {
            return Err(fields::bad_cron("bad cron format"));
        }
        if self.texts.get(id).is_some() {
            return self.change_one_shot(id, fields, &plan, has_new_time);
        }
        if let Some(code) = plan.code.as_deref()
            && let Some(other) = self.book.id_of(code)
            && other != id
        {
            return Err(taken(code, other));
        }
        let due = self
            .book
            .get(id)
            .map(|kept| (kept.due_ms, kept.due_unix_ms));
        let mut kept = self.new_kept(id, &fields, Ok(Box::new(plan)));
        if !has_new_time && let Some(due) = due {
            (kept.due_ms, kept.due_unix_ms) = due;
        }
        self.put_like(kept, Some((to, Ok(Data::Null))));
        Ok(None)
    }

    fn change_one_shot(
        &mut self,
        id: i64,
        fields: Fields,
        plan: &Plan,
        has_new_time: bool,
    ) -> Result<Option<Data>, CallError> {
        if plan.persist {
            return Err(CallError::new(
                1,
                "bad `persist`: a timer cannot become persistent",
            ));
        }
        let text = json::to_text(&Value::Object(fields));
        if self.texts.bytes() + text.len() > ONE_SHOTS_BYTES_MAX {
            return Err(full());
        }
        self.texts.insert(id, &text);
        if let Rhythm::Once(wait_ms) = plan.rhythm
            && has_new_time
            && self.queue.cancel(id)
        {
            let due_ms = self.after_ms(wait_ms + plan.splay_ms);
            // One was just taken out.
            let _ = self.queue.add(id, due_ms);
        }
        Ok(Some(Data::Null))
    }

    fn enable(
        &mut self,
        to: ConnId,
        key: &TimerKey,
        is_enabled: bool,
    ) -> Result<Option<Data>, CallError> {
        let id = self.id_of(key)?;
        let Some(kept) = self.book.get(id) else {
            return Err(bad_timer(key));
        };
        let due = (kept.due_ms, kept.due_unix_ms);
        let mut plan = kept.plan.clone();
        let mut fields = kept.fields();
        fields.insert("disabled".to_owned(), (!is_enabled).into());
        if let Ok(plan) = &mut plan {
            plan.disabled = !is_enabled;
        }
        let mut kept = self.new_kept(id, &fields, plan);
        (kept.due_ms, kept.due_unix_ms) = due;
        self.put_like(kept, Some((to, Ok(Data::Null))));
        Ok(None)
    }

    fn del(&mut self, to: ConnId, key: &TimerKey) -> Result<Option<Data>, CallError> {
        let id = match key {
            // A failed one can be taken off its list.
            TimerKey::Id(id) if self.failed.contains_key(id) => *id,
            key => self.id_of(key)?,
        };
        if self.texts.remove(id) {
            self.queue.cancel(id);
            return Ok(Some(Data::Null));
        }
        self.delete(id, Some((to, Ok(Data::Null))));
        Ok(None)
    }

    fn run(&mut self, key: &TimerKey) -> Result<Data, CallError> {
        let id = self.id_of(key)?;
        if self.texts.get(id).is_some() {
            if self.queue.cancel(id) {
                self.fire_one_shot(id, self.now.mono_ms, None);
            }
            return Ok(Data::Null);
        }
        let Some(kept) = self.book.get_mut(id) else {
            return Err(bad_timer(key));
        };
        if let Err(reason) = &kept.plan {
            return Err(CallError::new(1, reason.to_string()));
        }
        if kept.pending.is_some() {
            kept.run_when_stored = true;
        } else {
            self.run_now(id);
        }
        Ok(Data::Null)
    }

    fn retry_failed(&mut self, to: ConnId, id: i64) -> Result<Option<Data>, CallError> {
        let Some(text) = self.failed.get(&id) else {
            return Err(bad_timer(&TimerKey::Id(id)));
        };
        let mut fields: Fields = serde_json::from_str(text).unwrap_or_default();
        fields::remove_stored(&mut fields);
        for name in fields::OWN_COLUMNS {
            fields.shift_remove(name);
        }
        let plan = self.checked(&fields)?;
        let due = serde_json::from_str::<Fields>(text)
            .ok()
            .and_then(|fields| fields::stored(&fields, fields::STORED_DUE));
        if let Some(code) = plan.code.as_deref()
            && let Some(other) = self.book.id_of(code)
        {
            return Err(taken(code, other));
        }
        let mut kept = self.new_kept(id, &fields, Ok(Box::new(plan)));
        // Its time has come already, and its messages keep their id.
        kept.due_ms = self.now.mono_ms;
        kept.due_unix_ms = due.unwrap_or(self.now.unix_ms as i64);
        self.put(Box::new(kept), Some((to, Ok(Data::Null))));
        Ok(None)
    }

    /// Puts a timer in; where there was one with its id, in its place and with its runs.
    fn put_like(&mut self, mut kept: Kept, reply: Option<(ConnId, Answer)>) {
        if let Some(before) = self.book.get(kept.id) {
            kept.place = before.place;
            kept.history = before.history.clone();
            kept.run_when_stored = before.run_when_stored;
        }
        self.put(Box::new(kept), reply);
    }

    /// The timer that a call names. Errors: `bad timer X`.
    pub(super) fn id_of(&self, key: &TimerKey) -> Result<i64, CallError> {
        let id = match key {
            TimerKey::Id(id) => {
                Some(*id).filter(|id| self.book.get(*id).is_some() || self.texts.get(*id).is_some())
            }
            TimerKey::Code(code) => self.book.id_of(code),
        };
        id.ok_or_else(|| bad_timer(key))
    }

    /// The fields of a timer of any kind.
    pub(super) fn fields_by_id(&self, id: i64) -> Fields {
        match self.texts.get(id) {
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
            None => self
                .book
                .get(id)
                .map(|kept| kept.fields())
                .unwrap_or_default(),
        }
    }

    fn new_one_shot_id(&mut self) -> i64 {
        self.next_one_shot_id -= 1;
        self.next_one_shot_id + 1
    }
}

/// `[1,"参数不正确","bad timer X"]`
pub(super) fn bad_timer(key: &TimerKey) -> CallError {
    CallError::new(
        1,
        match key {
            TimerKey::Id(id) => format!("bad timer {id}"),
            TimerKey::Code(code) => format!("bad timer {code}"),
        },
    )
}

fn taken(code: &str, id: i64) -> CallError {
    CallError::new(1, format!("code `{code}` is that of timer {id}"))
}

fn full() -> CallError {
    CallError::new(4, "too many timers pending")
}
