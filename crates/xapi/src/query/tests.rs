//! The query language is judged by a reader of XAPI's real grammar, written here apart from the writer.

use proptest::prelude::*;

use super::*;
use crate::model::Record;
use crate::model::schema::{self, Class, Type};
use crate::value::{Struct, Value};

/// What a server would understand: every junction has two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    True,
    False,
    Same(String, String),
    Not(Box<Meaning>),
    And(Box<Meaning>, Box<Meaning>),
    Or(Box<Meaning>, Box<Meaning>),
}

/// Reads as xapi does: `and` and `or` with equal strength from the left, `not` weaker than both, a literal from quote to
/// quote with nothing that escapes.
struct Judge<'t> {
    rest: &'t str,
}

impl<'t> Judge<'t> {
    fn read(text: &'t str) -> Option<Meaning> {
        let mut judge = Judge { rest: text };
        let meaning = judge.expression()?;
        judge.rest.trim_start().is_empty().then_some(meaning)
    }

    fn eat(&mut self, word: &str) -> bool {
        match self.rest.trim_start().strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn quoted(&mut self) -> Option<&'t str> {
        let inner = self.rest.trim_start().strip_prefix('"')?;
        let (text, rest) = inner.split_once('"')?;
        self.rest = rest;
        Some(text)
    }

    fn expression(&mut self) -> Option<Meaning> {
        if self.eat("not") {
            return Some(Meaning::Not(Box::new(self.expression()?)));
        }
        let mut left = self.operand()?;
        loop {
            if self.eat("and") {
                left = Meaning::And(Box::new(left), Box::new(self.operand()?));
            } else if self.eat("or") {
                left = Meaning::Or(Box::new(left), Box::new(self.operand()?));
            } else {
                return Some(left);
            }
        }
    }

    fn operand(&mut self) -> Option<Meaning> {
        if self.eat("(") {
            let inner = self.expression()?;
            return self.eat(")").then_some(inner);
        }
        if self.eat("true") {
            return Some(Meaning::True);
        }
        if self.eat("false") {
            return Some(Meaning::False);
        }
        if !self.eat("field") {
            return None;
        }
        let column = self.quoted()?.to_owned();
        if !self.eat("=") {
            return None;
        }
        Some(Meaning::Same(column, self.quoted()?.to_owned()))
    }
}

/// What a query means, taken from the tree alone.
fn meaning(query: &Query, class: &'static Class) -> Meaning {
    match query {
        Query::Is(name, literal) => {
            let column = class.field(name).unwrap().column().to_owned();
            let same = |text: &str| Meaning::Same(column.clone(), text.to_owned());
            match literal {
                Literal::Text(text) | Literal::Word(text) => same(text),
                Literal::Int(number) => same(&number.to_string()),
                Literal::Bool(truth) => same(&truth.to_string()),
                Literal::Null => Meaning::Or(Box::new(same("OpaqueRef:NULL")), Box::new(same(""))),
                Literal::Empty => same("()"),
            }
        }
        Query::Not(inner) => Meaning::Not(Box::new(meaning(inner, class))),
        Query::Every(parts) => parts
            .iter()
            .map(|part| meaning(part, class))
            .reduce(|left, right| Meaning::And(Box::new(left), Box::new(right)))
            .unwrap_or(Meaning::True),
        Query::Any(parts) => parts
            .iter()
            .map(|part| meaning(part, class))
            .reduce(|left, right| Meaning::Or(Box::new(left), Box::new(right)))
            .unwrap_or(Meaning::False),
    }
}

fn vm() -> &'static Class {
    schema::class("VM").unwrap()
}

/// Texts that try to break out: quotes, parentheses and the language's own words come often.
fn evil() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("'".to_owned()),
        Just("\" or true or \"".to_owned()),
        Just(") or (true".to_owned()),
        Just("field \"uuid\" = \"".to_owned()),
        Just("\n".to_owned()),
        Just("\u{0}".to_owned()),
        any::<char>().prop_map(String::from),
        "[a-z ]{0,6}",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn comparison() -> impl Strategy<Value = Query> {
    let fields: Vec<_> = vm().fields.iter().filter(|field| field.kind != Type::Float).collect();
    (prop::sample::select(fields), evil(), any::<i64>(), any::<bool>(), any::<prop::sample::Index>())
        .prop_map(|(known, text, number, truth, index)| {
            let literal = match known.kind {
                Type::Int => Literal::Int(number),
                Type::Bool => Literal::Bool(truth),
                Type::Enum(name) if truth => {
                    let words = schema::enumeration(name).unwrap().words;
                    Literal::Text(words[index.index(words.len())].into())
                }
                Type::Enum(_) => Literal::Word(text.into()),
                Type::Ref(_) if text.is_empty() => Literal::Null,
                Type::Ref(_) => Literal::Text(format!("OpaqueRef:{text}").into()),
                Type::Set(_) | Type::Map(..) => Literal::Empty,
                Type::DateTime => Literal::Text("20260821T02:00:23Z".into()),
                _ => Literal::Text(text.into()),
            };
            field(known.name).is(literal)
        })
}

fn tree() -> impl Strategy<Value = Query> {
    comparison().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|query| !query),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Query::Every),
            prop::collection::vec(inner, 0..4).prop_map(Query::Any),
        ]
    })
}

/// Whether some literal holds what the language cannot write.
fn unwritable(query: &Query) -> bool {
    match query {
        Query::Is(_, Literal::Text(text) | Literal::Word(text)) => {
            text.chars().any(|c| c == '"' || c.is_control() || c == '\u{fffe}' || c == '\u{ffff}')
        }
        Query::Is(..) => false,
        Query::Not(inner) => unwritable(inner),
        Query::Every(parts) | Query::Any(parts) => parts.iter().any(unwritable),
    }
}

/// The tree in the form for people, with more parentheses than needed.
fn for_people(query: &Query) -> String {
    let joined = |parts: &[Query], word: &str| {
        let parts: Vec<String> = parts.iter().map(|part| format!("({})", for_people(part))).collect();
        parts.join(word)
    };
    match query {
        Query::Is(field, Literal::Text(text) | Literal::Word(text)) if text.contains('"') => {
            format!("{field} = '{text}'")
        }
        Query::Is(field, Literal::Text(text) | Literal::Word(text)) => format!("{field} = \"{text}\""),
        Query::Is(field, literal) => format!("{field} = {literal}"),
        Query::Not(inner) => format!("not ({})", for_people(inner)),
        Query::Every(parts) if parts.is_empty() => "true".to_owned(),
        Query::Any(parts) if parts.is_empty() => "false".to_owned(),
        Query::Every(parts) => joined(parts, " and "),
        Query::Any(parts) => joined(parts, " or "),
    }
}

/// A list of one is that one.
fn flat(query: Query) -> Query {
    match query {
        Query::Is(field, Literal::Word(text)) => Query::Is(field, text.into()),
        Query::Is(field, Literal::Text(text)) => Query::Is(field, text.into()),
        Query::Not(inner) => !flat(*inner),
        Query::Every(mut parts) | Query::Any(mut parts) if parts.len() == 1 => flat(parts.remove(0)),
        Query::Every(parts) => Query::Every(parts.into_iter().map(flat).collect()),
        Query::Any(parts) => Query::Any(parts.into_iter().map(flat).collect()),
        other => other,
    }
}

/// No text of the tree holds both kinds of quotes.
fn quotable(query: &Query) -> bool {
    match query {
        Query::Is(_, Literal::Text(text) | Literal::Word(text)) => {
            !(text.contains('"') && text.contains('\''))
        }
        Query::Is(..) => true,
        Query::Not(inner) => quotable(inner),
        Query::Every(parts) | Query::Any(parts) => parts.iter().all(quotable),
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_as_the_same_tree_or_refused(query in tree()) {
        match query.text(vm()) {
            Ok(text) => {
                prop_assert_eq!(Judge::read(&text), Some(meaning(&query, vm())), "{}", text);
            }
            Err(QueryError::Unwritable { .. }) => prop_assert!(unwritable(&query)),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn no_literal_changes_the_structure(query in tree(), text in evil()) {
        let named = field("name_label").is(text.as_str()) & query;
        if let Ok(written) = named.text(vm()) {
            let Some(Meaning::And(first, _)) = Judge::read(&written) else { panic!("{written}") };
            prop_assert_eq!(*first, Meaning::Same("name__label".to_owned(), text));
        }
    }

    #[test]
    fn the_form_for_people_is_read_back(query in tree().prop_filter("quotes", quotable)) {
        prop_assert_eq!(Query::parse(&for_people(&query)), Ok(flat(query)));
    }

    #[test]
    fn any_text_is_a_query_or_an_error_with_a_place(text in "[a-z\"'()=!, ]{0,30}|\\PC{0,20}") {
        if let Err(error) = Query::parse(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.position));
        }
    }
}

#[test]
fn fields_become_columns_and_literals_their_stored_form() {
    for (query, text) in [
        (field("memory_target").is(512), r#"(field "memory__target" = "512")"#),
        (field("power_state").is("Running"), r#"(field "power_state" = "Running")"#),
        (field("power_state").is(Literal::Word("Dreaming".into())), r#"(field "power_state" = "Dreaming")"#),
        (field("VBDs").is(Literal::Empty), r#"(field "VBDs" = "()")"#),
        (
            field("affinity").is("OpaqueRef:NULL"),
            r#"((field "affinity" = "OpaqueRef:NULL") or (field "affinity" = ""))"#,
        ),
        (
            field("snapshot_time").is("20260821T02:00:23Z"),
            r#"(field "snapshot_time" = "20260821T02:00:23Z")"#,
        ),
        (Query::everything(), "(true)"),
        (field("uuid").is_one_of(Vec::<&str>::new()), "(false)"),
        (
            field("uuid").is("a") & field("uuid").is("b") & field("uuid").is("c") | field("uuid").is("d"),
            r#"(((field "uuid" = "a") and (field "uuid" = "b") and (field "uuid" = "c")) or (field "uuid" = "d"))"#,
        ),
    ] {
        assert_eq!(query.text(vm()).unwrap(), text);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    for (query, told) in [
        (field("name_lable").is("x"), r#"VM has no field "name_lable", did you mean "name_label"?"#),
        (field("qqqq").is("x"), r#"VM has no field "qqqq""#),
        (field("power_state").is("running"), r#"VM.power_state is never "running", did you mean "Running"?"#),
        (
            field("memory_target").is("512"),
            r#"VM.memory_target is an integer, it cannot be compared with "512""#,
        ),
        (
            field("is_a_template").is("false"),
            "VM.is_a_template is true or false, it cannot be compared with \"false\"",
        ),
        (field("name_label").is(1), "VM.name_label is a text, it cannot be compared with 1"),
        (
            field("tags").is("a"),
            "VM.tags is a set, of which only the empty one, (), can be asked for, it cannot be compared with \"a\"",
        ),
        (
            field("snapshot_time").is("today"),
            "VM.snapshot_time is a date such as 20260821T02:00:23Z, it cannot be compared with \"today\"",
        ),
        (
            field("name_label").is("a\"b"),
            "VM.name_label cannot be compared with a text that holds '\"': XAPI's query language cannot write it",
        ),
    ] {
        assert_eq!(query.text(vm()).unwrap_err().to_string(), told);
        assert_eq!((!query).fits(vm(), &record()).unwrap_err().to_string(), told);
    }
}

#[test]
fn errors_of_the_form_for_people_name_the_place() {
    for (text, told) in [
        ("", "expected a field, found the end at character 1"),
        ("name_label", r#"expected "=", "!=" or "in", found the end at character 11"#),
        ("name_label = ", "expected a literal, found the end at character 14"),
        (
            "power_state = Running",
            "expected a literal, found \"Running\"; texts stand in quotes: \"Running\" at character 15",
        ),
        ("name_label == 'x'", r#"expected a literal, found "=" at character 13"#),
        ("name_label = 'x", "the text has no closing ' at character 14"),
        ("(is_a_template = true", r#"expected "and", "or" or ")", found the end at character 22"#),
        (
            "is_a_template = true name_label = 'x'",
            r#"expected "and", "or" or the end, found "name_label" at character 22"#,
        ),
        ("version = 12ab", r#""12ab" is no integer, texts stand in quotes at character 11"#),
        ("ü = 1 & x = 2", r#"expected "and", "or" or the end, found "&" at character 7"#),
        ("and = 1", r#"expected a field, found "and" at character 1"#),
        ("uuid in ()", r#"expected a literal, found ")" at character 10"#),
    ] {
        assert_eq!(Query::parse(text).unwrap_err().to_string(), told, "{text}");
    }
    let deep = "not ".repeat(100) + "true";
    assert!(Query::parse(&deep).unwrap_err().what.contains("deeper"));
}

#[test]
fn people_mean_what_is_usual() {
    let read = |text| Query::parse(text).unwrap();
    let (a, b, c) = (field("a").is(1), field("b").is(2), field("c").is(3));
    assert_eq!(read("a = 1 or b = 2 and c = 3"), a.clone() | Query::Every(vec![b.clone(), c.clone()]));
    assert_eq!(read("not a = 1 and b = 2"), !a.clone() & b.clone());
    assert_eq!(read("not (a = 1 and b = 2)"), !(a.clone() & b));
    assert_eq!(read("a != 1"), !a);
    assert_eq!(read("a in (1, 2)"), field("a").is_one_of([1, 2]));
}

fn record() -> Record {
    let mut fields = Struct::new();
    fields.insert("name_label", "it's");
    fields.insert("memory_target", 512);
    fields.insert("is_a_template", false);
    fields.insert("affinity", "");
    fields.insert("VBDs", Value::Array(Vec::new()));
    fields.insert("tags", Value::Array(vec!["a".into()]));
    Record::new("VM", "OpaqueRef:1", fields)
}

#[test]
fn a_record_at_hand_is_judged_as_the_database_would() {
    for (text, fits) in [
        ("name_label = \"it's\"", true),
        ("name_label = 'IT'", false),
        ("memory_target = 512 and is_a_template = false", true),
        ("memory_target in (1, 2)", false),
        ("affinity = null", true),
        ("VBDs = ()", true),
        ("tags = ()", false),
        ("true", true),
        ("false or not uuid = 'x'", true),
    ] {
        assert_eq!(Query::parse(text).unwrap().fits(vm(), &record()), Ok(fits), "{text}");
    }
}
