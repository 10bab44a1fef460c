//! What was typed, turned into a method's arguments by the schema. Pure: where an object is named or given by uuid, that
//! is noted, and looked up later. Knows no pool.

use std::fmt;

use smol_str::SmolStr;
use xapi::model::Date;
use xapi::model::schema::{self, Method, Parameter, Type};
use xapi::suggestion::{self, shown};
use xapi::{NULL_REF, Struct, Value};

/// One argument, in which objects may still have to be found.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum Draft {
    /// Nothing to be found in it.
    Value(Value),
    /// The object of this class that has this uuid or name.
    Find {
        /// The class with its case on the wire.
        class: &'static str,
        /// A uuid or a name.
        text: String,
    },
    /// A set.
    Set(Vec<Draft>),
    /// A map or a record.
    Map(Vec<(SmolStr, Draft)>),
}

/// Why the arguments do not fit the method.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::cli) enum ArgumentError {
    /// Too many.
    #[error("{method} takes {takes}, and {surplus:?} is one more")]
    Surplus { method: String, takes: String, surplus: String },
    /// One that must be there is not.
    #[error("{method} takes {takes}, and {missing} is missing")]
    Missing { method: String, takes: String, missing: &'static str },
    /// Given twice, by name or by name and place.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// By place after one by name.
    #[error("{0:?} has no name and comes after arguments that have: give those without a name first")]
    Unnamed(String),
    /// By a name that no parameter has. Without this a misspelt name would be written as a value.
    #[error("{method} has no parameter {name:?}{}; it takes {takes}. A text with = in it is given as {example}=TEXT", shown(.suggestion.as_deref()))]
    Unknown {
        method: String,
        name: String,
        suggestion: Option<SmolStr>,
        takes: String,
        example: &'static str,
    },
    /// Of another type.
    #[error("{parameter}{misfit}", misfit = .misfit.of(.method))]
    Kind { method: String, parameter: &'static str, misfit: Misfit },
}

/// Why a text is not what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Misfit {
    /// Where inside the argument: `.MTU` in a record, `[2]` in a set.
    path: String,
    /// What is wrong with it.
    what: String,
}

impl Misfit {
    fn new(kind: &Type, text: &str) -> Self {
        let what = format!("is {}, and {text:?} is none{}", in_words(kind), how(kind));
        Misfit { path: String::new(), what }
    }

    fn inside(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }

    fn of(&self, method: &str) -> String {
        format!("{} of {method} {}", self.path, self.what)
    }
}

/// Reads arguments for a method that the schema knows. The session is not among them.
pub(super) fn read(name: &str, method: &Method, given: &[String]) -> Result<Vec<Draft>, ArgumentError> {
    let parameters = own_parameters(method);
    let mut drafts: Vec<Option<Draft>> = vec![None; parameters.len()];
    let mut named = false;
    for (index, text) in given.iter().enumerate() {
        let by_name = text.split_once('=').and_then(|(parameter, value)| {
            let at = parameters.iter().position(|known| known.name == parameter)?;
            Some((at, value))
        });
        let (at, value) = match by_name {
            Some(by_name) => {
                named = true;
                by_name
            }
            None => match looks_named(text) {
                Some(written) if !parameters.is_empty() => return Err(unknown(name, method, written)),
                _ if named => return Err(ArgumentError::Unnamed(text.clone())),
                _ => (index, text.as_str()),
            },
        };
        let (Some(parameter), Some(place)) = (parameters.get(at), drafts.get_mut(at)) else {
            return Err(ArgumentError::Surplus {
                method: name.to_owned(),
                takes: takes(method),
                surplus: text.clone(),
            });
        };
        let draft = draft(&parameter.kind, value).map_err(|misfit| ArgumentError::Kind {
            method: name.to_owned(),
            parameter: parameter.name,
            misfit,
        })?;
        if place.replace(draft).is_some() {
            return Err(ArgumentError::Twice(parameter.name));
        }
    }
    // What is optional stands at the end, and xapi takes it by place: what comes after the last one given is left out.
    let count = drafts.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let count = count.max(parameters.len().saturating_sub(method.optional));
    let missing = |at: usize| parameters.get(at).map_or("an argument", |parameter| parameter.name);
    drafts
        .into_iter()
        .take(count)
        .enumerate()
        .map(|(at, draft)| {
            draft.ok_or_else(|| ArgumentError::Missing {
                method: name.to_owned(),
                takes: takes(method),
                missing: missing(at),
            })
        })
        .collect()
}

/// Reads one argument that is given as JSON.
pub(in crate::cli) fn one(
    name: &str,
    parameter: &Parameter,
    json: serde_json::Value,
) -> Result<Draft, ArgumentError> {
    structured(&parameter.kind, json).map_err(|misfit| ArgumentError::Kind {
        method: name.to_owned(),
        parameter: parameter.name,
        misfit,
    })
}

/// Reads arguments for a method that the schema does not know: JSON where it is some, text otherwise.
pub(super) fn read_untyped(given: &[String]) -> Vec<Draft> {
    given
        .iter()
        .map(|text| Draft::Value(serde_json::from_str(text).map_or_else(|_| text.as_str().into(), untyped)))
        .collect()
}

/// What a method takes, for a person: `vm (VM), start_paused (bool)`.
pub(super) fn takes(method: &Method) -> String {
    let parameters = own_parameters(method);
    let required = parameters.len().saturating_sub(method.optional);
    let words: Vec<String> = parameters
        .iter()
        .enumerate()
        .map(|(at, parameter)| {
            let left_out = if at >= required { ", may be left out" } else { "" };
            format!("{} ({}{left_out})", parameter.name, in_words(&parameter.kind))
        })
        .collect();
    if words.is_empty() { "no arguments".to_owned() } else { words.join(", ") }
}

/// All parameters but the session, which the client puts in front.
fn own_parameters(method: &Method) -> &'static [Parameter] {
    match method.parameters {
        [Parameter { name: "session_id", .. }, rest @ ..] => rest,
        all => all,
    }
}

fn draft(kind: &Type, text: &str) -> Result<Draft, Misfit> {
    let misfit = || Misfit::new(kind, text);
    let value = match kind {
        Type::String => Value::from(text),
        Type::Enum(name) => word(name, text).ok_or_else(misfit)?,
        Type::Int => Value::Int(text.parse().map_err(|_| misfit())?),
        Type::Float => Value::Float(text.parse().map_err(|_| misfit())?),
        Type::Bool => Value::Bool(text.parse().map_err(|_| misfit())?),
        Type::DateTime => date(text).ok_or_else(misfit)?,
        Type::Void => Value::VOID,
        Type::Ref(class) => return Ok(reference(class, text)),
        Type::Set(_) | Type::Map(..) | Type::Record(_) => {
            return structured(kind, serde_json::from_str(text).map_err(|_| misfit())?);
        }
        Type::Option(inner) => return draft(inner, text),
    };
    Ok(Draft::Value(value))
}

/// A word of an enumeration. Of one that the schema does not know, any.
fn word(name: &str, text: &str) -> Option<Value> {
    let known = schema::enumeration(name);
    let fits = known.is_none_or(|known| known.words.contains(&text));
    fits.then(|| text.into())
}

/// A moment as XAPI writes it or as RFC 3339 does.
fn date(text: &str) -> Option<Value> {
    if Date::new(text).timestamp().is_some() {
        return Some(Value::DateTime(text.into()));
    }
    let moment: jiff::Timestamp = text.parse().ok()?;
    Some(Value::DateTime(moment.strftime("%Y%m%dT%H:%M:%SZ").to_string().into()))
}

fn reference(class: &'static str, text: &str) -> Draft {
    match text {
        "" | "null" => Draft::Value(NULL_REF.into()),
        opaque if opaque.starts_with("OpaqueRef:") => Draft::Value(opaque.into()),
        other => Draft::Find { class, text: other.to_owned() },
    }
}

/// The same for what stands inside a set, a map or a record, where texts are JSON's own.
fn structured(kind: &Type, json: serde_json::Value) -> Result<Draft, Misfit> {
    use serde_json::Value as Json;
    Ok(match (kind, json) {
        (Type::Set(element), Json::Array(elements)) => {
            let element =
                |(at, json)| structured(element, json).map_err(|misfit| misfit.inside(&format!("[{at}]")));
            Draft::Set(elements.into_iter().enumerate().map(element).collect::<Result<_, _>>()?)
        }
        (Type::Map(_, element), Json::Object(members)) => {
            let member = |(name, json): (String, Json)| {
                let draft = structured(element, json).map_err(|misfit| misfit.inside(&format!(".{name}")))?;
                Ok((name.into(), draft))
            };
            Draft::Map(members.into_iter().map(member).collect::<Result<_, _>>()?)
        }
        (Type::Record(class), Json::Object(members)) => {
            let member = |(name, json)| field(class, name, json);
            Draft::Map(members.into_iter().map(member).collect::<Result<_, _>>()?)
        }
        (Type::Int, Json::Number(number)) if number.is_i64() => {
            Draft::Value(Value::Int(number.as_i64().unwrap_or_default()))
        }
        (Type::Float, Json::Number(number)) => {
            Draft::Value(Value::Float(number.as_f64().unwrap_or(f64::NAN)))
        }
        (Type::Bool, Json::Bool(truth)) => Draft::Value(Value::Bool(truth)),
        (Type::Option(inner), json) => structured(inner, json)?,
        (Type::Set(_) | Type::Map(..) | Type::Record(_) | Type::Int | Type::Float | Type::Bool, other) => {
            return Err(Misfit::new(kind, &other.to_string()));
        }
        (_, Json::String(text)) => draft(kind, &text)?,
        (_, other) => {
            let what = format!("is {}, and {other} is none: put it into quotes", in_words(kind));
            return Err(Misfit { path: String::new(), what });
        }
    })
}

/// A field of a record. One that we do not know may be of a newer pool, unless it is most likely a slip.
fn field(class: &'static str, name: String, json: serde_json::Value) -> Result<(SmolStr, Draft), Misfit> {
    let Some(known) = schema::class(class) else { return Ok((name.into(), Draft::Value(untyped(json)))) };
    let draft = match known.field(&name) {
        Some(field) => structured(&field.kind, json).map_err(|misfit| misfit.inside(&format!(".{name}")))?,
        None => match suggestion::for_slip(&name, known.fields.iter().map(|field| field.name)) {
            Some(meant) => {
                let what = format!("has a field {name:?} that {class} has not{}", shown(Some(&meant)));
                return Err(Misfit { path: String::new(), what });
            }
            None => Draft::Value(untyped(json)),
        },
    };
    Ok((name.into(), draft))
}

fn untyped(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::VOID,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => text.into(),
        Json::Array(elements) => Value::Array(elements.into_iter().map(untyped).collect()),
        Json::Object(members) => Value::Struct(
            members.into_iter().map(|(name, json)| (name.into(), untyped(json))).collect::<Struct>(),
        ),
    }
}

fn in_words(kind: &Type) -> String {
    struct Words<'a>(&'a Type);
    impl fmt::Display for Words<'_> {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                Type::String => out.write_str("text"),
                Type::Int => out.write_str("a whole number"),
                Type::Float => out.write_str("a number"),
                Type::Bool => out.write_str("true or false"),
                Type::DateTime => out.write_str("a date"),
                Type::Void => out.write_str("nothing"),
                Type::Ref(class) => write!(out, "a {class}"),
                Type::Enum(name) => match schema::enumeration(name) {
                    Some(known) => {
                        write!(out, "one of {}", known.words.join(", "))
                    }
                    None => write!(out, "a word of {name}"),
                },
                Type::Set(element) => write!(out, "a set, each {}", Words(element)),
                Type::Map(_, element) => write!(out, "a map, each {}", Words(element)),
                Type::Record(class) => write!(out, "a record of {class}"),
                Type::Option(inner) => Words(inner).fmt(out),
            }
        }
    }
    Words(kind).to_string()
}

/// What to write instead.
fn how(kind: &Type) -> &'static str {
    match kind {
        Type::Set(Type::Ref(_)) => ": write JSON, such as [\"UUID\", \"NAME\"]",
        Type::Set(_) => ": write JSON, such as [\"one\", \"two\"]",
        Type::Map(..) | Type::Record(_) => ": write JSON, such as {\"name\": \"value\"}",
        Type::DateTime => ": write it as 2026-11-24T12:00:00Z",
        _ => "",
    }
}

/// The name before the first `=`, where what stands there could be that of a parameter.
fn looks_named(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    (name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(is_word)).then_some(name)
}

/// That a method has no parameter of this name.
pub(in crate::cli) fn unknown(name: &str, method: &Method, written: &str) -> ArgumentError {
    let parameters = own_parameters(method);
    ArgumentError::Unknown {
        method: name.to_owned(),
        name: written.to_owned(),
        suggestion: suggestion::for_name(written, parameters.iter().map(|parameter| parameter.name)),
        takes: takes(method),
        example: parameters.last().map_or("NAME", |parameter| parameter.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(method: &str, texts: &[&str]) -> Result<Vec<Draft>, ArgumentError> {
        let (_, known) = schema::method(method).expect("the method is in the schema");
        read(method, known, &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn find(class: &'static str, text: &str) -> Draft {
        Draft::Find { class, text: text.to_owned() }
    }

    #[test]
    fn arguments_come_by_place_or_by_name_and_are_typed() {
        let expected =
            vec![find("VM", "web-1"), Draft::Value(Value::Bool(true)), Draft::Value(Value::Bool(false))];
        assert_eq!(given("VM.start", &["web-1", "true", "false"]), Ok(expected.clone()));
        assert_eq!(given("VM.start", &["web-1", "force=false", "start_paused=true"]), Ok(expected));
        assert_eq!(given("VM.get_record", &["self=a=b"]), Ok(vec![find("VM", "a=b")]));
    }

    #[test]
    fn an_opaque_reference_needs_no_looking_up() {
        let drafts = given("VM.get_record", &["OpaqueRef:1"]);
        assert_eq!(drafts, Ok(vec![Draft::Value("OpaqueRef:1".into())]));
        assert_eq!(given("VM.get_record", &["null"]), Ok(vec![Draft::Value(NULL_REF.into())]));
    }

    #[test]
    fn sets_maps_and_records_are_json_in_which_objects_are_found_too() {
        let record =
            r#"{"name_label": "a", "user_version": 1, "affinity": "h1", "VCPUs_max": 2, "later": [1]}"#;
        let drafts = given("VM.create", &[record]).expect("they fit");
        let [Draft::Map(members)] = &drafts[..] else { panic!("{drafts:?}") };
        assert!(members.contains(&("affinity".into(), find("host", "h1"))), "{members:?}");
        assert!(members.contains(&("VCPUs_max".into(), Draft::Value(Value::Int(2)))), "{members:?}");
        assert!(members.contains(&("later".into(), Draft::Value(Value::Array(vec![Value::Int(1)])))));
        let tags = given("VM.set_tags", &["web", r#"["a", "b"]"#]).expect("they fit");
        assert_eq!(tags[1], Draft::Set(vec![Draft::Value("a".into()), Draft::Value("b".into())]));
    }

    #[test]
    fn what_does_not_fit_says_why_and_what_to_write() {
        let told = |method, texts: &[&str]| given(method, texts).expect_err("they do not fit").to_string();
        assert_eq!(
            told("VM.start", &["web", "true"]),
            "VM.start takes vm (a VM), start_paused (true or false), force (true or false), and force is missing"
        );
        assert_eq!(
            told("VM.start", &["web", "maybe", "true"]),
            "start_paused of VM.start is true or false, and \"maybe\" is none"
        );
        let told_of = told("VM.start", &["web", "strat_paused=true", "true"]);
        assert!(
            told_of.starts_with(
                "VM.start has no parameter \"strat_paused\", did you mean \"start_paused\"?; it takes vm"
            ),
            "{told_of}"
        );
        // A misspelt name must not become a value that is written.
        let told_of = told("VM.set_name_label", &["web", "vlaue=new"]);
        assert!(
            told_of.contains("did you mean \"value\"?") && told_of.ends_with("is given as value=TEXT"),
            "{told_of}"
        );
        assert_eq!(
            given("VM.set_name_label", &["web", "value=a=b"]).map(|drafts| drafts[1].clone()),
            Ok(Draft::Value("a=b".into()))
        );
        assert!(told("VM.set_tags", &["web", "a,b"]).ends_with("write JSON, such as [\"one\", \"two\"]"));
        assert_eq!(told("VM.start", &["vm=a", "vm=b"]), "vm is given twice");
        assert!(told("VM.get_all", &["a"]).starts_with("VM.get_all takes no arguments"));
        assert!(told("VM.start", &["vm=a", "b"]).contains("give those without a name first"));
    }

    #[test]
    fn words_dates_and_what_stands_in_records_are_judged_before_anything_is_sent() {
        let told = |method, texts: &[&str]| given(method, texts).expect_err("they do not fit").to_string();
        let misspelt = told("network.create", &[r#"{"name_labl": "n"}"#]);
        assert_eq!(
            misspelt,
            "args of network.create has a field \"name_labl\" that network has not, did you mean \"name_label\"?"
        );
        let wrong = told("network.create", &[r#"{"name_label": "n", "MTU": "big"}"#]);
        assert_eq!(wrong, "args.MTU of network.create is a whole number, and \"\\\"big\\\"\" is none");
        let word = told("VM.set_actions_after_crash", &["web", "reboot"]);
        assert!(word.starts_with("value of VM.set_actions_after_crash is one of destroy, "), "{word}");
        let date = told("message.get_since", &["yesterday"]);
        assert!(date.ends_with("and \"yesterday\" is none: write it as 2026-11-24T12:00:00Z"), "{date}");
        for (text, sent) in [
            ("2020-01-01T00:00:00Z", "20200101T00:00:00Z"),
            ("2020-01-01T02:00:00+02:00", "20200101T00:00:00Z"),
            ("20200101T00:00:00Z", "20200101T00:00:00Z"),
        ] {
            let read = given("message.get_since", &[text]);
            assert_eq!(read, Ok(vec![Draft::Value(Value::DateTime(sent.into()))]), "{text}");
        }
        assert!(given("VM.set_actions_after_crash", &["web", "restart"]).is_ok());
    }

    #[test]
    fn what_is_optional_may_be_left_out() {
        let login = |texts: &[&str]| given("session.login_with_password", texts).map(|drafts| drafts.len());
        assert_eq!(login(&["root", "secret"]), Ok(2));
        assert_eq!(login(&["root", "secret", "1.0"]), Ok(3));
        let told = login(&["root", "secret", "originator=me"]).expect_err("version is missing").to_string();
        assert!(told.ends_with("and version is missing"), "{told}");
    }
}
