//! Alerts: what the pool itself finds worth telling (class `message`), with bodies taken apart as far as they can be.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::Event as Xml;
use smol_str::SmolStr;

use super::event::Origin;
use crate::codec::{Limits, json};
use crate::model::{Record, schema};
use crate::value::{Struct, Value};

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The reference of the message.
    pub reference: SmolStr,
    /// Its uuid.
    pub uuid: SmolStr,
    /// Such as `HA_HOST_FAILED`; third parties make names of their own.
    pub name: SmolStr,
    /// 1, most pressing, to 5; 0 where the pool says something else.
    pub priority: u8,
    /// The class of the object that it is about, in XAPI's words for it: `VM`, `Host`, `SR`, `Pool`, ...
    pub class: SmolStr,
    /// The uuid of that object, which may be gone.
    pub object: SmolStr,
    /// When it was raised, by the pool's clock: `20260821T02:00:23Z`.
    pub timestamp: SmolStr,
    /// What it says.
    pub body: Body,
    /// How we know.
    pub origin: Origin,
}

/// What an alert says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// As it came.
    pub text: SmolStr,
    /// What could be read out of it, by name: leaves of XML (`<name value="x"/>` and `<name>x</name>`), JSON objects,
    /// lines of `name: value` or `name=value`. Names that come several times are lists. Empty for plain text.
    pub fields: Struct,
}

/// What has been told of alerts: xapi keeps up to 10,000 and brings all of them with each picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// When the alert was raised that was told last.
    latest: SmolStr,
    /// The uuids of those told last.
    recent: VecDeque<SmolStr>,
    /// The uuids of all that this process has met, once it has seen a picture.
    met: Option<Arc<BTreeSet<SmolStr>>>,
}

/// So many uuids are remembered beyond a restart.
const RECENT: usize = 8;
/// So many are remembered within a process; xapi keeps 10,000.
const MET_MAX: usize = 40_000;
/// The longest body that is taken apart, and the most fields of one.
const BODY_BYTES: usize = 64 * 1024;
const FIELDS_MAX: usize = 256;

impl Alert {
    /// Reads a message's record. Missing parts are empty.
    #[must_use]
    pub fn of(message: &Record, origin: Origin) -> Self {
        let text = |field| SmolStr::new(message.text(field));
        let priority = message.get("priority").and_then(Value::as_int).unwrap_or_default();
        Alert {
            reference: message.reference.clone(),
            uuid: text("uuid"),
            name: text("name"),
            priority: u8::try_from(priority).ok().filter(|level| (1..=5).contains(level)).unwrap_or(0),
            class: text("cls"),
            object: text("obj_uuid"),
            timestamp: text("timestamp"),
            body: Body::read(message.text("body")),
            origin,
        }
    }

    /// Whether the schema knows alerts of that name.
    #[must_use]
    pub fn is_known(&self) -> bool {
        schema::alerts().iter().any(|(name, _)| *name == self.name)
    }
}

impl Told {
    /// Notes an alert by its message, and says whether it is new. What comes live is, unless it was told. A picture brings
    /// all that are kept: those that were not met before are new; after a restart, those that are not older than the one
    /// that was told last. Better twice than not at all.
    pub(super) fn is_new(&mut self, message: &Record, origin: Origin) -> bool {
        let (uuid, timestamp) = (message.text("uuid"), message.text("timestamp"));
        let told = self.recent.iter().any(|recent| recent == uuid);
        let new = !told
            && match &self.met {
                Some(met) => !met.contains(uuid),
                None => origin == Origin::Live || timestamp >= self.latest.as_str(),
            };
        if let Some(met) = &mut self.met {
            let met = Arc::make_mut(met);
            if met.len() >= MET_MAX {
                met.clear();
            }
            met.insert(uuid.into());
        }
        if new {
            self.latest = timestamp.into();
            self.recent.push_back(uuid.into());
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        new
    }

    /// A picture was seen: from now on all that are kept by the pool are known.
    pub(super) fn picture(&mut self, uuids: BTreeSet<SmolStr>) {
        self.met = Some(Arc::new(uuids));
    }

    /// The text from which [`Told::parse`] makes the same again.
    #[must_use]
    pub fn text(&self) -> String {
        let uuids: Vec<&str> = self.recent.iter().map(SmolStr::as_str).collect();
        format!("{}/{}", self.latest, uuids.join("/"))
    }

    /// Reads what [`Told::text`] wrote; anything else is read as nothing told.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split('/').map(SmolStr::new);
        let latest = parts.next().unwrap_or_default();
        Told { latest, recent: parts.filter(|uuid| !uuid.is_empty()).collect(), met: None }
    }
}

impl Body {
    /// Takes a text apart. Whatever it holds, the text itself is kept.
    #[must_use]
    pub fn read(text: &str) -> Self {
        if text.len() > BODY_BYTES {
            return Body { text: text.into(), fields: Struct::new() };
        }
        let fields = match text.trim_start().chars().next() {
            Some('<') => from_xml(text),
            Some('{') => from_json(text),
            _ => match text.split_once("\n<") {
                Some((lines, _)) => from_lines(lines).and_then(|lines| with_xml(lines, text)),
                None => from_lines(text),
            },
        };
        Body { text: text.into(), fields: fields.unwrap_or_default() }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Alarms are lines with XML behind them.
fn with_xml(mut lines: Struct, text: &str) -> Option<Struct> {
    let xml = text.get(text.find('<')?..)?;
    for (name, value) in from_xml(&format!("<body>{xml}</body>"))? {
        add(&mut lines, name, value);
    }
    Some(lines)
}

/// The leaves: elements with an attribute `value`, or with text and nothing else inside.
fn from_xml(text: &str) -> Option<Struct> {
    let mut reader = Reader::from_str(text);
    let mut fields = Struct::new();
    let mut open: Vec<(SmolStr, String)> = Vec::new();
    let mut leaf = false;
    loop {
        match reader.read_event().ok()? {
            Xml::Start(tag) => {
                open.push((tag.name().as_ref().into(), String::new()));
                leaf = true;
            }
            Xml::Empty(tag) => {
                // What holds elements is no leaf itself.
                leaf = false;
                if let Some(attribute) = tag.try_get_attribute("value").ok().flatten() {
                    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?;
                    add(&mut fields, tag.name().as_ref().into(), SmolStr::new(&value).into());
                }
            }
            Xml::Text(text) => {
                if let Some((_, inner)) = open.last_mut() {
                    inner.push_str(&text);
                }
            }
            Xml::GeneralRef(reference) => {
                if let Some((_, inner)) = open.last_mut() {
                    let named = match &*reference {
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "amp" => Some('&'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => reference.resolve_char_ref().ok().flatten(),
                    };
                    inner.push(named?);
                }
            }
            Xml::End(_) => {
                let (name, inner) = open.pop()?;
                if leaf {
                    add(&mut fields, name, inner.trim().into());
                }
                leaf = false;
            }
            Xml::Eof => return open.is_empty().then_some(fields),
            Xml::CData(_) | Xml::Comment(_) | Xml::Decl(_) | Xml::PI(_) | Xml::DocType(_) => {}
        }
    }
}

fn from_json(text: &str) -> Option<Struct> {
    match json::decode_value(text.as_bytes(), &Limits::default()).ok()? {
        Value::Struct(fields) => Some(fields),
        _ => None,
    }
}

/// Every line must be one, or it is prose.
fn from_lines(text: &str) -> Option<Struct> {
    let mut fields = Struct::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.split_once(['=', ':'])?;
        let name = name.trim();
        let is_name = |text: &str| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        if !is_name(name) {
            return None;
        }
        add(&mut fields, name.into(), value.trim().into());
    }
    Some(fields)
}

fn add(fields: &mut Struct, name: SmolStr, value: Value) {
    let room = fields.len() < FIELDS_MAX;
    match fields.get_mut(&name) {
        Some(Value::Array(values)) if values.len() < FIELDS_MAX => values.push(value),
        Some(Value::Array(_)) => {}
        Some(one) => {
            let first = std::mem::replace(one, Value::VOID);
            *one = Value::Array(vec![first, value]);
        }
        None if room => fields.push(name, value),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<(String, Value)> {
        Body::read(text).fields.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
    }

    fn texts(pairs: &[(&str, &str)]) -> Vec<(String, Value)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
    }

    #[test]
    fn bodies_of_all_usual_forms_are_taken_apart() {
        let alarm = "value: 0.95\nconfig:\n<variable>\n<name value=\"cpu_usage\"/>\n</variable>";
        assert_eq!(fields(alarm), texts(&[("value", "0.95"), ("config", ""), ("name", "cpu_usage")]));
        assert_eq!(
            fields("<variable><name value=\"cpu_usage\"/><alarm_trigger_level value=\"0.9\"/></variable>"),
            texts(&[("name", "cpu_usage"), ("alarm_trigger_level", "0.9")])
        );
        assert_eq!(
            fields("<body><certificate_expiry>soon &amp; sure</certificate_expiry><day>7</day></body>"),
            texts(&[("certificate_expiry", "soon & sure"), ("day", "7")])
        );
        assert_eq!(fields("{\"host\": \"a\"}"), texts(&[("host", "a")]));
        assert_eq!(fields("vm = web\nhost: b\n"), texts(&[("vm", "web"), ("host", "b")]));
        let twice = Value::from(vec![Value::from("1"), Value::from("2")]);
        assert_eq!(fields("path=1\npath=2"), [("path".to_owned(), twice)]);
        for prose in ["", "VM 'web' has started", "<broken", "{\"a\":"] {
            let body = Body::read(prose);
            assert_eq!((body.text.as_str(), body.to_string().as_str()), (prose, prose));
            assert!(body.fields.is_empty(), "{prose}: {:?}", body.fields);
        }
    }

    #[test]
    fn what_was_told_is_remembered_as_text() {
        let alert = |uuid: &str, timestamp: &str| {
            let fields: Struct = [("uuid", uuid), ("timestamp", timestamp)]
                .map(|(name, text)| (name.into(), text.into()))
                .into_iter()
                .collect();
            Record::new("message", "OpaqueRef:m", fields)
        };
        let mut told = Told::default();
        assert!(told.is_new(&alert("a", "20260821T02:00:23Z"), Origin::Live));
        assert!(told.is_new(&alert("b", "20260821T02:00:23Z"), Origin::Live));
        let mut told = Told::parse(&told.text());
        for (uuid, timestamp, origin, new) in [
            ("a", "20260821T02:00:23Z", Origin::Resync, false),
            ("z", "20260821T02:00:22Z", Origin::Resync, false),
            ("c", "20260821T02:00:23Z", Origin::Resync, true),
            ("d", "20990821T02:00:24Z", Origin::Live, true),
            ("d", "20990821T02:00:24Z", Origin::Live, false),
            ("e", "20260101T00:00:00Z", Origin::Live, true),
        ] {
            assert_eq!(told.is_new(&alert(uuid, timestamp), origin), new, "{uuid}");
        }
        // After a picture what was not met is new, whatever the clock of the pool says.
        told.picture(["d", "e"].map(SmolStr::new).into());
        assert!(told.is_new(&alert("f", "20200101T00:00:00Z"), Origin::Resync));
        assert!(!told.is_new(&alert("f", "20200101T00:00:00Z"), Origin::Resync));
        assert_eq!(Told::parse("").text(), "/");
    }
}
