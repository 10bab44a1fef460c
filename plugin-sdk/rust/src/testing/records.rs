//! The objects of a test's world.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value as Json};

use super::schema::{self, Class, RELATIONS, Type, hint};
use crate::{Moment, Reference, Value};

/// One object at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) class: &'static str,
    pub(crate) reference: Reference,
    /// By which the world and the report name it: its `name_label`, or its UUID.
    pub(crate) name: String,
    pub(crate) fields: BTreeMap<&'static str, Value>,
}

impl Stored {
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        match self.fields.get(field) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// All objects, by class in the order in which the world gives them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    all: Vec<Rc<Stored>>,
}

impl Records {
    /// Reads a world: an array of tables for each class.
    pub(super) fn parse(text: &str) -> Result<Records, Vec<String>> {
        let classes: Map<String, Json> = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mut problems = Vec::new();
        let mut given = Vec::new();
        let mut records = Records::default();
        for (name, objects) in &classes {
            let class = match schema::class(name) {
                Ok(class) => class,
                Err(why) => {
                    problems.push(why);
                    continue;
                }
            };
            let Some(objects) = objects.as_array() else {
                problems.push(format!("write each {name} under a [[{name}]] of its own"));
                continue;
            };
            for object in objects.iter().filter_map(Json::as_object) {
                let stored = records.bare(class, object);
                given.push((stored.reference.clone(), class, object));
                records.all.push(Rc::new(stored));
            }
        }
        // References name objects, so that all must be there before the first field is read.
        for (reference, class, object) in &given {
            for (field, json) in *object {
                if let Err(why) = records.set(reference, class, field, json) {
                    problems.push(why);
                }
            }
        }
        records.relate();
        if problems.is_empty() { Ok(records) } else { Err(problems) }
    }

    /// A new object with the fields that are given; `relate` must follow.
    pub(super) fn add(&mut self, class: &str, fields: &Map<String, Json>) -> Result<Reference, String> {
        let class = schema::class(class)?;
        let stored = self.bare(class, fields);
        let reference = stored.reference.clone();
        self.all.push(Rc::new(stored));
        for (field, json) in fields {
            self.set(&reference, class, field, json)?;
        }
        self.relate();
        Ok(reference)
    }

    /// An object with every field of its class at a value that says nothing.
    fn bare(&self, class: &'static Class, given: &Map<String, Json>) -> Stored {
        let number = self.all.len() + 1;
        let text = |field: &str| given.get(field).and_then(Json::as_str).map(str::to_owned);
        let uuid = text("uuid").unwrap_or_else(|| format!("00000000-0000-0000-0000-{number:012}"));
        let mut fields: BTreeMap<_, _> =
            class.fields.iter().map(|field| (field.name, blank(&field.kind))).collect();
        if let Some(field) = fields.get_mut("uuid") {
            *field = Value::from(&uuid);
        }
        let name = text("name_label").unwrap_or(uuid);
        Stored { class: class.name, reference: Reference(format!("ref:{number}")), name, fields }
    }

    /// Sets a field as a world has it.
    pub(super) fn set(
        &mut self,
        reference: &Reference,
        class: &'static Class,
        field: &str,
        json: &Json,
    ) -> Result<(), String> {
        let known = class.field(field)?;
        let value = self.value(&known.kind, json).map_err(|why| format!("{}.{field}: {why}", class.name))?;
        if let Some(stored) = self.all.iter_mut().find(|stored| stored.reference == *reference) {
            Rc::make_mut(stored).fields.insert(known.name, value);
        }
        Ok(())
    }

    /// Fills in the fields that XAPI keeps: a VM's `VBDs`, where each VBD says its `VM`.
    pub(super) fn relate(&mut self) {
        let mut found: Vec<(Reference, &'static str, Reference)> = Vec::new();
        for relation in RELATIONS {
            for stored in self.all.iter().filter(|stored| stored.class == relation.class) {
                let targets = match stored.fields.get(relation.field) {
                    Some(Value::Reference(one)) => std::slice::from_ref(one),
                    Some(Value::References(many)) => &many[..],
                    _ => &[],
                };
                for target in targets {
                    if self.get(target).is_some_and(|target| target.class == relation.other_class) {
                        found.push((target.clone(), relation.other_field, stored.reference.clone()));
                    }
                }
            }
        }
        for (target, field, source) in found {
            let Some(stored) = self.all.iter_mut().find(|stored| stored.reference == target) else {
                continue;
            };
            match Rc::make_mut(stored).fields.get_mut(field) {
                Some(Value::References(all)) if !all.contains(&source) => all.push(source),
                Some(nothing @ Value::Nothing) => *nothing = Value::Reference(source),
                _ => {}
            }
        }
    }

    pub(super) fn remove(&mut self, reference: &Reference) {
        self.all.retain(|stored| stored.reference != *reference);
    }

    pub(crate) fn get(&self, reference: &Reference) -> Option<&Rc<Stored>> {
        self.all.iter().find(|stored| stored.reference == *reference)
    }

    pub(crate) fn of<'r>(&'r self, class: &'r str) -> impl Iterator<Item = &'r Rc<Stored>> {
        self.all.iter().filter(move |stored| stored.class == class)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<Stored>> {
        self.all.iter()
    }

    /// An object by its `name_label` or UUID.
    pub(super) fn named<'r>(&'r self, class: &'r str, name: &str) -> Result<&'r Rc<Stored>, String> {
        let mut found =
            self.of(class).filter(|stored| stored.name == name || stored.text("uuid") == Some(name));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => {
                Err(format!("two objects of class {class} are named {name:?}: use the UUID"))
            }
            (None, _) => {
                let hint = hint(name, self.of(class).map(|stored| stored.name.as_str()));
                Err(format!("the world has no {class} {name:?}{hint}"))
            }
        }
    }

    /// A value as the plugin will see it.
    fn value(&self, kind: &Type, json: &Json) -> Result<Value, String> {
        Ok(match (kind, json) {
            (Type::Option(inner), json) => self.value(inner, json)?,
            (Type::String, Json::String(text)) => Value::from(text),
            (Type::Enum(name), Json::String(word)) => Value::from(known_word(name, word)?),
            (Type::Int, Json::Number(number)) if number.is_i64() => {
                Value::Whole(number.as_i64().unwrap_or_default())
            }
            (Type::Float, Json::Number(number)) => Value::Real(number.as_f64().unwrap_or_default()),
            (Type::Bool, Json::Bool(truth)) => Value::Truth(*truth),
            (Type::DateTime, Json::String(text)) => {
                Value::Moment(text.parse::<Moment>().map_err(|error| error.to_string())?)
            }
            (Type::Ref(_), Json::String(name)) if name.is_empty() => Value::Nothing,
            (Type::Ref(class), Json::String(name)) => {
                Value::Reference(self.named(class, name)?.reference.clone())
            }
            (Type::Set(Type::Ref(class)), Json::Array(names)) => Value::References(
                names
                    .iter()
                    .map(|name| {
                        self.named(class, name.as_str().unwrap_or_default())
                            .map(|found| found.reference.clone())
                    })
                    .collect::<Result<_, _>>()?,
            ),
            (Type::Set(inner @ (Type::String | Type::Enum(_))), Json::Array(texts)) => {
                Value::Texts(texts.iter().map(|text| plain(inner, text)).collect::<Result<_, _>>()?)
            }
            (Type::Map(key, value @ (Type::String | Type::Enum(_))), Json::Object(map))
                if matches!(key, Type::String | Type::Enum(_)) =>
            {
                let pair = |(name, text): (&String, &Json)| Ok((known_key(key, name)?, plain(value, text)?));
                Value::Pairs(map.iter().map(pair).collect::<Result<_, String>>()?)
            }
            (Type::Set(_) | Type::Map(..) | Type::Record(_), Json::Array(_) | Json::Object(_)) => {
                Value::Json(self.json(kind, json)?.to_string())
            }
            (kind, json) => return Err(format!("it is {}, and {json} is not", words(kind))),
        })
    }

    /// Deeper shapes, with handles for names.
    fn json(&self, kind: &Type, json: &Json) -> Result<Json, String> {
        Ok(match (kind, json) {
            (Type::Ref(class), Json::String(name)) => self.named(class, name)?.reference.as_str().into(),
            (Type::Set(inner), Json::Array(elements)) => {
                elements.iter().map(|element| self.json(inner, element)).collect::<Result<_, _>>()?
            }
            (Type::Map(key, value), Json::Object(map)) => {
                let mut out = Map::new();
                for (name, inner) in map {
                    let name = match key {
                        Type::Ref(class) => self.named(class, name)?.reference.as_str().to_owned(),
                        _ => name.clone(),
                    };
                    out.insert(name, self.json(value, inner)?);
                }
                Json::Object(out)
            }
            (_, json) => json.clone(),
        })
    }
}

fn known_word<'w>(name: &str, word: &'w str) -> Result<&'w str, String> {
    let words = schema::words(name);
    if words.contains(&word) {
        return Ok(word);
    }
    let near = hint(word, words.iter().copied());
    let known = if near.is_empty() { format!("; there are {}", words.join(", ")) } else { near };
    Err(format!("{name} has no word `{word}`{known}"))
}

fn known_key(kind: &Type, name: &str) -> Result<String, String> {
    if let Type::Enum(of) = kind { known_word(of, name).map(str::to_owned) } else { Ok(name.to_owned()) }
}

fn plain(kind: &Type, json: &Json) -> Result<String, String> {
    match (kind, json) {
        (Type::Enum(name), Json::String(word)) => known_word(name, word).map(str::to_owned),
        (_, Json::String(text)) => Ok(text.clone()),
        (_, other) => Err(format!("it holds texts, and {other} is none")),
    }
}

fn words(kind: &Type) -> String {
    match kind {
        Type::String | Type::Enum(_) => "a text".to_owned(),
        Type::Int => "a whole number".to_owned(),
        Type::Float => "a number".to_owned(),
        Type::Bool => "true or false".to_owned(),
        Type::DateTime => "a time such as \"2026-01-02T03:04:05Z\"".to_owned(),
        Type::Void => "nothing".to_owned(),
        Type::Ref(class) => format!("the name of a {class}"),
        Type::Set(inner) => format!("a list, each of it {}", words(inner)),
        Type::Map(..) => "a table".to_owned(),
        Type::Record(class) => format!("a record of {class}"),
        Type::Option(inner) => words(inner),
    }
}

/// What a field holds of which the world says nothing.
pub(super) fn blank(kind: &Type) -> Value {
    match kind {
        Type::String => Value::from(""),
        Type::Enum(name) => Value::from(schema::words(name).first().copied().unwrap_or_default()),
        Type::Int => Value::Whole(0),
        Type::Float => Value::Real(0.0),
        Type::Bool => Value::Truth(false),
        Type::DateTime => Value::Moment(Moment::from_wire("1970-01-01T00:00:00Z".to_owned())),
        Type::Void | Type::Ref(_) | Type::Option(_) => Value::Nothing,
        Type::Set(Type::Ref(_)) => Value::References(Vec::new()),
        Type::Set(Type::String | Type::Enum(_)) => Value::Texts(Vec::new()),
        Type::Map(Type::String | Type::Enum(_), Type::String | Type::Enum(_)) => Value::Pairs(Vec::new()),
        Type::Set(_) => Value::Json("[]".to_owned()),
        Type::Map(..) | Type::Record(_) => Value::Json("{}".to_owned()),
    }
}
