//! `event.from` and `event.inject`: what changed since a token, as xapi tells it.
//!
//! A difference of states, not a log: at most one event an object, adds before mods before dels, no picture of what
//! is gone, every class's count at the end.

use std::collections::HashSet;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::{Failure, Reply};
use xapi::model::schema;
use xapi::{Struct, Value};

use crate::arguments::Arguments;
use crate::database::Table;
use crate::failures;
use crate::pool::Pool;

/// Timeouts that make no sense, and those beyond about 104 days, wait this long.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const TIMEOUT_MAX: f64 = 104.0 * 24.0 * 3600.0;

/// One `event.from` that may have to wait.
#[derive(Clone)]
pub(crate) struct Subscription {
    session: SmolStr,
    wanted: Wanted,
    token: Token,
    /// How long it waits at most.
    pub(crate) timeout: Duration,
}

/// The two numbers of a token: of rows and of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token(i64, i64);

/// Classes and objects that somebody asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    everything: bool,
    classes: HashSet<String>,
    objects: HashSet<(String, String)>,
}

impl Subscription {
    /// From the arguments of `event.from`.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let classes = arguments.value(0);
        let words = classes.as_array().unwrap_or_default().iter().filter_map(Value::as_str);
        let seconds = arguments.value(2).as_float().unwrap_or(f64::NAN);
        let sensible = (0.0..=TIMEOUT_MAX).contains(&seconds);
        Ok(Subscription {
            session: arguments.session.clone(),
            wanted: Wanted::new(words),
            token: Token::parse(arguments.text(1))?,
            timeout: if sensible { Duration::from_secs_f64(seconds) } else { LONGEST },
        })
    }

    /// Whether only tasks are asked for, which xapi answers without delay.
    pub(crate) fn tasks_only(&self) -> bool {
        let wanted = &self.wanted;
        !wanted.everything
            && wanted
                .classes
                .iter()
                .chain(wanted.objects.iter().map(|(class, _)| class))
                .all(|class| class == "task")
    }
}

impl Pool {
    /// The answer to a subscription, if there is one yet. When its time is up there always is.
    pub(crate) fn look(&self, subscription: &Subscription, time_is_up: bool) -> Option<Reply> {
        if !self.sessions.contains_key(&subscription.session) {
            return Some(Err(failures::session_invalid(&subscription.session)));
        }
        let wanted = &subscription.wanted;
        let Token(since, since_message) = subscription.token;
        let mut newest = Token(since, 0);
        let mut events = Vec::new();
        if wanted.class("message") {
            newest.1 = since_message;
            for (generation, reference) in self.messages.deleted_since(since_message) {
                newest.1 = newest.1.max(*generation);
                events.push(event(0, "message", "del", reference, None));
            }
            for message in self.messages.iter().filter(|message| message.generation > since_message) {
                newest.1 = newest.1.max(message.generation);
                events.push(event(0, "message", "add", &message.reference, Some(message.record.clone())));
            }
        }
        let (mut mods, mut dels) = (Vec::new(), Vec::new());
        for table in self.database.tables().iter().filter(|table| table.entry.class.events) {
            let class = table.entry.class.name.to_ascii_lowercase();
            if !wanted.touches(&class) {
                continue;
            }
            for (reference, row) in table.changed_since(since) {
                if !wanted.object(&class, reference) {
                    continue;
                }
                newest.0 = newest.0.max(row.modified);
                let added = row.created > since;
                let (list, operation) = if added { (&mut events, "add") } else { (&mut mods, "mod") };
                list.push(event(row.modified, &class, operation, reference, Some(table.record(row))));
            }
            for grave in
                table.graves.iter().rev().filter(|grave| grave.deleted > since && grave.created <= since)
            {
                if wanted.object(&class, &grave.reference) {
                    newest.0 = newest.0.max(grave.deleted);
                    dels.push(event(grave.deleted, &class, "del", &grave.reference, None));
                }
            }
        }
        events.append(&mut mods);
        events.append(&mut dels);
        if events.is_empty() && !time_is_up {
            return None;
        }
        let mut answer = Struct::with_capacity(3);
        answer.insert("events", Value::Array(events));
        answer.insert("valid_ref_counts", Value::Struct(self.counts()));
        answer.insert("token", Value::String(newest.text()));
        Some(Ok(Value::Struct(answer)))
    }

    /// `event.inject`: marks an object as changed and returns a token that any later picture of it exceeds.
    pub(crate) fn inject(&mut self, class: &str, reference: &str) -> Result<Value, Failure> {
        let before = self.database.touch(class, reference);
        let before = before.ok_or_else(|| failures::handle_invalid(class, reference))?;
        Ok(Value::String(Token(before, 0).text()))
    }

    /// How many rows each class has, last class first, as xapi lists them.
    fn counts(&self) -> Struct {
        let count = |name: &str| self.database.table(name).map_or(0, |table: &Table| table.rows.len());
        let classes = schema::classes().iter().rev();
        classes
            .map(|class| {
                let rows = i64::try_from(count(class.name)).unwrap_or(i64::MAX);
                (SmolStr::from(class.name.to_ascii_lowercase()), Value::Int(rows))
            })
            .collect()
    }
}

impl Token {
    fn parse(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Ok(Token(0, 0));
        }
        let refused = || Failure::new("EVENT_FROM_TOKEN_PARSE_FAILURE", [text]);
        let (rows, messages) = text.split_once(',').ok_or_else(refused)?;
        Ok(Token(rows.parse().map_err(|_| refused())?, messages.parse().map_err(|_| refused())?))
    }

    fn text(self) -> SmolStr {
        format_smolstr!("{:020},{:020}", self.0, self.1)
    }
}

impl Wanted {
    fn new<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut wanted = Wanted::default();
        wanted.add(words);
        wanted
    }

    /// Asks for more: `*`, a class in any case, or one object as `class/reference`.
    pub(crate) fn add<'w>(&mut self, words: impl Iterator<Item = &'w str>) {
        for word in words {
            match word.split_once('/') {
                None if word == "*" => self.everything = true,
                None => _ = self.classes.insert(word.to_ascii_lowercase()),
                Some((class, reference)) => {
                    self.objects.insert((class.to_ascii_lowercase(), reference.to_owned()));
                }
            }
        }
    }

    /// Asks no more for exactly these; what another word asks for stays asked for.
    pub(crate) fn remove<'w>(&mut self, words: impl Iterator<Item = &'w str>) {
        for word in words {
            match word.split_once('/') {
                None if word == "*" => self.everything = false,
                None => _ = self.classes.remove(&word.to_ascii_lowercase()),
                Some((class, reference)) => {
                    self.objects.remove(&(class.to_ascii_lowercase(), reference.to_owned()));
                }
            }
        }
    }

    fn class(&self, class: &str) -> bool {
        self.everything || self.classes.contains(class)
    }

    fn touches(&self, class: &str) -> bool {
        self.class(class) || self.objects.iter().any(|(of, _)| of == class)
    }

    /// Whether this object is asked for; its class in lower case.
    pub(crate) fn object(&self, class: &str, reference: &str) -> bool {
        self.class(class) || self.objects.contains(&(class.to_owned(), reference.to_owned()))
    }
}

fn event(
    id: i64,
    class: &str,
    operation: &'static str,
    reference: &SmolStr,
    snapshot: Option<Struct>,
) -> Value {
    let mut event = Struct::with_capacity(6);
    event.insert("id", format_smolstr!("{id}"));
    event.insert("timestamp", "0.0");
    event.insert("class", class);
    event.insert("operation", operation);
    event.insert("ref", reference.clone());
    if let Some(snapshot) = snapshot {
        event.insert("snapshot", snapshot);
    }
    Value::Struct(event)
}
