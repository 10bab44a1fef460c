//! The daemon as a test plays it.

use std::rc::Rc;

use crate::log::Level;
use crate::testing::filter::Filter;
use crate::testing::records::Stored;
use crate::testing::run::Line;
use crate::testing::state::{teaching, with};
use crate::testing::{class_of, field_of, has_no_field};
use crate::{Error, Fault, Progress, Reference, Value};

/// One record, as it was when it was read.
#[derive(Debug)]
pub(crate) struct Record(pub(crate) Rc<Stored>);

impl Record {
    pub(crate) fn class(&self) -> String {
        self.0.class.to_owned()
    }

    pub(crate) fn reference(&self) -> Reference {
        self.0.reference.clone()
    }

    pub(crate) fn uuid(&self) -> Option<String> {
        self.0.text("uuid").map(str::to_owned)
    }

    pub(crate) fn fields(&self) -> Vec<String> {
        self.0.fields.keys().map(|&name| name.to_owned()).collect()
    }

    pub(crate) fn get(&self, field: &str) -> Result<Value, Error> {
        match self.0.fields.get(field) {
            Some(value) => Ok(value.clone()),
            None => Err(teaching("UNKNOWN_FIELD", field, field_of(self.0.class, field))),
        }
    }

    pub(crate) fn follow(&self, field: &str) -> Result<Vec<Record>, Error> {
        let references = match self.get(field)? {
            Value::Nothing => Vec::new(),
            Value::Reference(one) => vec![one],
            Value::References(many) => many,
            _ => {
                let why = "only a field that holds references can be followed".to_owned();
                return Err(teaching("NO_REFERENCE", field, why));
            }
        };
        Ok(with(|state| {
            references.iter().filter_map(|one| state.records.get(one)).cloned().map(Record).collect()
        }))
    }

    pub(crate) fn to_json(&self) -> String {
        let fields = self.0.fields.iter();
        let json: serde_json::Map<_, _> =
            fields.map(|(name, value)| ((*name).to_owned(), json(value))).collect();
        serde_json::Value::Object(json).to_string()
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Text(text) => text.as_str().into(),
        Value::Whole(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Truth(truth) => (*truth).into(),
        Value::Moment(moment) => moment.as_str().into(),
        Value::Reference(reference) => reference.as_str().into(),
        Value::Texts(texts) => texts.clone().into(),
        Value::References(references) => references.iter().map(Reference::as_str).collect::<Vec<_>>().into(),
        Value::Pairs(pairs) => pairs
            .iter()
            .map(|(key, text)| (key.clone(), text.as_str().into()))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
    }
}

pub(crate) fn find(
    class: &str,
    filter: &str,
    limit: u32,
    after: Option<&str>,
) -> Result<(Vec<Record>, Option<String>), Error> {
    let class = class_of(class).map_err(|why| teaching("UNKNOWN_CLASS", class, why))?;
    let filter = Filter::compile(filter)?;
    with(|state| {
        let past = |stored: &&Rc<Stored>| after.is_some_and(|after| stored.reference.as_str() != after);
        let rest = state.records.of(class).skip_while(past).skip(usize::from(after.is_some()));
        let mut found: Vec<Record> = rest
            .filter(|stored| filter.holds(stored))
            .take(limit as usize + 1)
            .cloned()
            .map(Record)
            .collect();
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| last.reference().0);
        Ok((found, next))
    })
}

pub(crate) fn by_reference(reference: &Reference) -> Result<Option<Record>, Error> {
    Ok(with(|state| state.records.get(reference).cloned().map(Record)))
}

pub(crate) fn by_uuid(class: &str, uuid: &str) -> Result<Option<Record>, Error> {
    let class = class_of(class).map_err(|why| teaching("UNKNOWN_CLASS", class, why))?;
    Ok(with(|state| {
        state.records.of(class).find(|stored| stored.text("uuid") == Some(uuid)).cloned().map(Record)
    }))
}

pub(crate) fn by_name_label(class: &str, name: &str) -> Result<Vec<Record>, Error> {
    let class = class_of(class).map_err(|why| teaching("UNKNOWN_CLASS", class, why))?;
    if has_no_field(class, "name_label") {
        return Err(teaching("NO_NAME", class, format!("objects of class {class} have no name")));
    }
    let named = |stored: &&Rc<Stored>| stored.text("name_label") == Some(name);
    Ok(with(|state| state.records.of(class).filter(named).cloned().map(Record).collect()))
}

pub(crate) fn call(method: &str, arguments: Vec<Value>) -> Result<Value, Error> {
    match with(|state| state.answer(method, arguments, false))? {
        Progress::Succeeded(value) => Ok(value),
        other => other.into_result(),
    }
}

pub(crate) fn start(method: &str, arguments: Vec<Value>) -> Result<Task, Error> {
    with(|state| {
        let ends = state.answer(method, arguments, true)?;
        Ok(Task { reference: Reference(format!("ref:task-{}", state.calls.len())), ends })
    })
}

/// A task that ends as the test says.
#[derive(Debug)]
pub(crate) struct Task {
    reference: Reference,
    ends: Progress<Value>,
}

impl Task {
    pub(crate) fn reference(&self) -> Reference {
        self.reference.clone()
    }

    pub(crate) fn wait(&self, _milliseconds: u64) -> Progress<Value> {
        self.ends.clone()
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as the daemon's")]
    pub(crate) fn cancel(&self) -> Result<(), Error> {
        Ok(())
    }
}

pub(crate) fn stored(key: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(with(|state| match state.written.get(key) {
        Some(written) => written.clone(),
        None => state.stored.get(key).cloned(),
    }))
}

pub(crate) fn store(key: &str, value: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(teaching("BAD_KEY", "key", "a key has at least one byte".to_owned()));
    }
    with(|state| state.written.insert(key.to_owned(), Some(value.to_vec())));
    Ok(())
}

pub(crate) fn forget(key: &str) -> Result<(), Error> {
    with(|state| state.written.insert(key.to_owned(), None));
    Ok(())
}

pub(crate) fn keys(prefix: &str, limit: u32, after: Option<&str>) -> Result<Vec<String>, Error> {
    Ok(with(|state| {
        let mut keys: std::collections::BTreeSet<&String> = state.stored.keys().collect();
        for (key, value) in &state.written {
            if value.is_some() {
                keys.insert(key)
            } else {
                keys.remove(key)
            };
        }
        let wanted = keys
            .into_iter()
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        wanted.take(limit as usize).cloned().collect()
    }))
}

pub(crate) fn settings() -> String {
    with(|state| serde_json::Value::Object(state.settings.clone()).to_string())
}

pub(crate) fn secret(name: &str) -> Result<String, Error> {
    with(|state| state.secrets.get(name).cloned()).ok_or_else(|| Error {
        fault: Fault::Denied,
        code: "DENIED".to_owned(),
        params: vec![name.to_owned(), "no-secret".to_owned()],
        advice: format!("the test gives no secret: add `world.secret({name:?}, \"…\")`"),
    })
}

pub(crate) fn write(level: Level, message: &str, fields: &[(String, String)]) {
    with(|state| state.log.push(Line { level, message: message.to_owned(), fields: fields.to_vec() }));
}
