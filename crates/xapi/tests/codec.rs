//! Any value survives either wire, as far as the wire can carry it; any bytes give a value or an error, never a panic.
//! What a wire cannot carry is said in `docs/xapi-wire.md`, 1.2, and here by [`by_xml`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use xapi::codec::{Failure, Limits, json, xml};
use xapi::{Struct, Value};

/// Any text at all: half of it from what wires have trouble with, half from all of Unicode.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![hard_text(), proptest::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter)]
}

fn hard_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just('<'),
            Just('&'),
            Just('>'),
            Just('"'),
            Just('\n'),
            Just('\r'),
            Just('\t'),
            Just(' '),
            Just('é'),
            Just('\0'),
            Just('\u{1}'),
            Just('\u{8}'),
            Just('\u{1f}'),
            Just('\u{7f}'),
            Just('\u{fffe}'),
            Just('\\'),
            proptest::char::range('a', 'z'),
            proptest::char::range('\u{4e00}', '\u{4eff}'),
        ],
        0..12,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::from),
        any::<f64>().prop_map(Value::Float),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)].prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map(text(), inner, 0..6).prop_map(|members| {
                Value::Struct(
                    members.into_iter().map(|(name, value)| (name.into(), value)).collect::<Struct>(),
                )
            }),
        ]
    })
}

/// What of a value comes through XML in a reply: all but the characters that XML 1.0 does not have. Names are sent as they
/// are.
fn by_xml(value: &Value) -> Value {
    through_xml(value, str::to_owned)
}

/// The same in a call, where names are written as texts are.
fn by_xml_call(value: &Value) -> Value {
    through_xml(value, carried)
}

fn carried(text: &str) -> String {
    text.chars().filter(|character| xml::carries(&character.to_string().into())).collect()
}

fn through_xml(value: &Value, name_of: fn(&str) -> String) -> Value {
    match value {
        Value::String(content) => carried(content).into(),
        Value::Array(elements) => {
            Value::Array(elements.iter().map(|element| through_xml(element, name_of)).collect())
        }
        Value::Struct(members) => {
            let members =
                members.iter().map(|(name, member)| (name_of(name).into(), through_xml(member, name_of)));
            Value::Struct(members.collect())
        }
        other => other.clone(),
    }
}

/// Whether no name in it can be taken for something else in a reply of xapi, which does not escape names.
fn names_are_plain(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().all(names_are_plain),
        Value::Struct(members) => {
            members.iter().all(|(name, member)| !name.contains('&') && names_are_plain(member))
        }
        _ => true,
    }
}

proptest! {
    #[test]
    fn any_value_survives_xml(value in value()) {
        prop_assume!(names_are_plain(&value));
        let body = xml::encode_reply(&Ok(value.clone()));
        let read = xml::decode_reply(body.as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(read, Ok(by_xml(&value)));
        prop_assert_eq!(xml::carries(&value), by_xml_call(&value) == value);
    }

    #[test]
    fn any_value_survives_json(value in value(), number in any::<i64>()) {
        let value = Value::Array(vec![value, Value::Int(number)]);
        let body = json::encode_reply(&Ok(value.clone()), 7);
        prop_assert_eq!(json::decode_reply(body.as_bytes(), &Limits::default()).unwrap(), Ok(value));
    }

    #[test]
    fn any_call_survives_both(method in "[A-Za-z.]{1,20}", arguments in proptest::collection::vec(value(), 0..4)) {
        let read = xml::decode_call(xml::encode_call(&method, &arguments).as_bytes(), &Limits::default()).unwrap();
        let carried: Vec<Value> = arguments.iter().map(by_xml_call).collect();
        prop_assert_eq!((&read.method, &read.arguments), (&method, &carried));
        let read = json::decode_call(json::encode_call(&method, &arguments, 1).as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!((&read.method, &read.arguments), (&method, &arguments));
    }

    #[test]
    fn any_failure_survives_both(code in "[A-Z_]{1,20}", parameters in proptest::collection::vec(text(), 0..4)) {
        let failure = Err(Failure::new(&code, parameters.clone()));
        let read = xml::decode_reply(xml::encode_reply(&failure).as_bytes(), &Limits::default()).unwrap();
        let Value::Array(carried) = by_xml(&parameters.into_iter().map(Value::from).collect::<Vec<_>>().into()) else {
            unreachable!("a list stays one")
        };
        prop_assert_eq!(&read, &Err(Failure::new(&code, carried.iter().filter_map(Value::as_str))));
        let read = json::decode_reply(json::encode_reply(&failure, 1).as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(&read, &failure);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let limits = Limits::default();
        _ = xml::decode_reply(&bytes, &limits);
        _ = xml::decode_call(&bytes, &limits);
        _ = json::decode_reply(&bytes, &limits);
        _ = json::decode_call(&bytes, &limits);
    }

    #[test]
    fn no_damaged_reply_panics(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = xml::encode_reply(&Ok(value.clone())).into_bytes();
        let at_xml = at.index(body.len());
        if cut { body.truncate(at_xml) } else { body[at_xml] = byte }
        _ = xml::decode_reply(&body, &Limits::default());
        let mut body = json::encode_reply(&Ok(value), 1).into_bytes();
        let at_json = at.index(body.len());
        if cut { body.truncate(at_json) } else { body[at_json] = byte }
        _ = json::decode_reply(&body, &Limits::default());
    }
}

fn reply(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
         <value>Success</value></member><member><name>Value</name>{inner}</member></struct></value></param></params>\
         </methodResponse>"
    )
}

fn xml_value(inner: &str) -> Result<Value, String> {
    let reply =
        xml::decode_reply(reply(inner).as_bytes(), &Limits::default()).map_err(|error| error.to_string())?;
    reply.map_err(|failure| failure.to_string())
}

#[test]
fn xml_is_read_as_xapi_and_others_write_it() {
    for (written, value) in [
        ("<value></value>", Value::VOID),
        ("<value/>", Value::VOID),
        ("<value>4294967296</value>", "4294967296".into()),
        ("<value><int>5</int></value>", Value::Int(5)),
        ("<value><i4>-5</i4></value>", Value::Int(-5)),
        ("<value><i8>9223372036854775807</i8></value>", Value::Int(i64::MAX)),
        ("<value> <string> a </string> </value>", " a ".into()),
        ("<value>a &lt;b&gt; &amp;amp; &#65;&#x42;</value>", "a <b> &amp; AB".into()),
        ("<value><![CDATA[<raw>]]></value>", "<raw>".into()),
        ("<value><boolean>1</boolean></value>", Value::Bool(true)),
        ("<value><boolean>true</boolean></value>", Value::Bool(false)),
        ("<value><double>nan</double></value>", Value::Float(f64::NAN)),
        ("<value><double>-inf</double></value>", Value::Float(f64::NEG_INFINITY)),
        ("<value><double>0.25</double></value>", Value::Float(0.25)),
        ("<value><nil/></value>", Value::VOID),
        ("<value><array><data/></array></value>", Value::Array(vec![])),
        ("<value><struct/></value>", Value::Struct(Struct::new())),
        (
            "<value><dateTime.iso8601>20260821T02:00:23Z</dateTime.iso8601></value>",
            Value::DateTime("20260821T02:00:23Z".into()),
        ),
    ] {
        assert_eq!(xml_value(written), Ok(value), "{written}");
    }
}

#[test]
fn what_is_no_reply_says_what_and_where() {
    for (body, what) in [
        ("", "the document ends early at byte 0"),
        ("<html><body>no</body></html>", "expected <methodResponse> at byte 6"),
        (
            "<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
            "not an integer at byte 50",
        ),
        (
            "<methodResponse><params><param><value><blink>x</blink></value></param></params></methodResponse>",
            "unknown type <blink> at byte 45",
        ),
        (
            "<methodResponse><params><param><value><struct></struct></value></param></params></methodResponse>",
            "the reply has no Status at byte 97",
        ),
    ] {
        let error = xml::decode_reply(body.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), what, "{body}");
    }
}

#[test]
fn limits_hold() {
    let deep =
        format!("{}x{}", "<value><array><data>".repeat(100_000), "</data></array></value>".repeat(100_000));
    let error = xml_value(&deep).unwrap_err();
    assert!(error.starts_with("values nest deeper than 64"), "{error}");
    let deep = format!("{{\"result\":{}{}}}", "[".repeat(100), "]".repeat(100));
    assert!(json::decode_reply(deep.as_bytes(), &Limits::default()).is_err());
    let small = Limits { bytes: 10, ..Limits::default() };
    let error = xml::decode_reply(reply("<value/>").as_bytes(), &small).unwrap_err();
    assert_eq!(error.to_string(), "longer than 10 bytes at byte 10");
}

#[test]
fn each_limit_is_named_by_both_decoders() {
    let limits = Limits { bytes: 1000, depth: 3, text: 10, values: 8 };
    let list = |element: &str, by: &str, count| vec![element; count].join(by);
    for (what, element, count) in [
        ("a text longer than 10 bytes", "\"12345678901\"", 1),
        ("a text longer than 10 bytes", "\"\\u00612345678901\"", 1),
        ("a text longer than 10 bytes", "{\"12345678901\":1}", 1),
        ("more than 8 values", "\"\"", 8),
        ("values nest deeper than 3", "[[[[]]]]", 1),
        ("longer than 1000 bytes", "\"a\"", 500),
    ] {
        let body = format!("{{\"result\":[{}]}}", list(element, ",", count));
        let error = json::decode_reply(body.as_bytes(), &limits).unwrap_err();
        assert_eq!(error.what, what, "{body}");
    }
    let inside = |text: &str| format!("<value><array><data>{text}</data></array></value>");
    for (what, element, count) in [
        ("a text longer than 10 bytes", "<value>12345678901</value>".to_owned(), 1),
        ("a text longer than 10 bytes", "<value>1234567890&amp;</value>".to_owned(), 1),
        (
            "a text longer than 10 bytes",
            "<value><struct><member><name>12345678901</name><value>1</value></member></struct></value>"
                .to_owned(),
            1,
        ),
        ("more than 8 values", "<value/>".to_owned(), 9),
        ("more than 8 values", "<value></value>".to_owned(), 9),
        ("values nest deeper than 3", inside(&inside(&inside(&inside("")))), 1),
        ("longer than 1000 bytes", "<value>a</value>".to_owned(), 100),
    ] {
        let body = inside(&list(&element, "", count));
        let error = xml::decode_value(&body, &limits).unwrap_err();
        assert_eq!(error.what, what, "{body}");
    }
}

/// Messages made to take as much memory as they can are refused before they have it.
#[test]
fn memory_stays_bounded_whatever_comes() {
    let limits = Limits { bytes: 8 << 20, text: 2 << 20, values: 500_000, ..Limits::default() };
    let fill = |start: &str, again: &str| {
        let mut body = start.to_owned();
        body.extend(std::iter::repeat_n(again, (limits.bytes - start.len()) / again.len()));
        body
    };
    let xml = "<methodResponse><params><param><value><array><data>";
    let before = most_resident();
    for (body, what) in [
        (fill("{\"result\":[", "0,"), "more than 500000 values"),
        (fill("{\"result\":[", "NaN,"), "more than 500000 values"),
        (fill("{\"result\":[", "{},"), "more than 500000 values"),
        (fill("{\"result\":{", "\"\":0,"), "more than 500000 values"),
        (fill("{\"result\":", "["), "values nest deeper than 64"),
        (fill("{\"result\":\"", "x"), "a text does not end"),
        (fill("{\"result\":\"", "\\n"), "a text longer than 2097152 bytes"),
        (fill(xml, "<value/>"), "more than 500000 values"),
        (fill(xml, "<value></value>"), "more than 500000 values"),
        (fill(xml, "<value><array><data>"), "values nest deeper than 64"),
        (fill(&format!("{xml}<value>"), "&amp;"), "the document ends early"),
    ] {
        let start: String = body.chars().take(60).collect();
        let error = if body.starts_with('{') {
            json::decode_reply(body.as_bytes(), &limits).unwrap_err()
        } else {
            xml::decode_reply(body.as_bytes(), &limits).unwrap_err()
        };
        assert_eq!(error.what, what, "{start}");
    }
    let grown = most_resident().saturating_sub(before);
    // The message itself, and 500,000 values with their lists, once more while a list grows.
    assert!(grown < 200 << 20, "{} MiB more were in use", grown / 1024 / 1024);
}

/// The most memory that this process ever had, in bytes, as Linux counts it.
fn most_resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn json_texts_with_every_escape_are_read_and_halves_are_not() {
    let read =
        |text: &str| json::decode_value(text.as_bytes(), &Limits::default()).map_err(|error| error.what);
    assert_eq!(
        read(r#""\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\ude00""#),
        Ok("\"\\/\u{8}\u{c}\n\r\t\0\u{e9}\u{1f600}".into())
    );
    for (text, what) in [
        (r#""\ud83d""#, "half a character"),
        (r#""\ud83dA""#, "half a character"),
        (r#""\ud83d\ud83d""#, "half a character"),
        (r#""\ude00""#, "half a character"),
        (r#""\u00g0""#, "not four hexadecimal digits"),
        (r#""\x""#, "an unknown escape"),
        ("\"a", "a text does not end"),
        ("01", "not a number"),
        ("-", "not a number"),
        ("1.2.3", "not a number"),
        ("1e999", "a number beyond what a float can be"),
        ("9223372036854775808", "an integer beyond 64 bits"),
        ("nan", "an unknown word"),
        ("[1,]", "expected a value"),
        ("[1 2]", "expected a comma or the end of the list"),
        ("{\"a\":1 \"b\":2}", "expected a comma or the end of the object"),
        ("{a:1}", "expected a member's name"),
        ("1 1", "something follows the end"),
        ("", "the text ends early"),
    ] {
        assert_eq!(read(text), Err(what.to_owned()), "{text}");
    }
    assert_eq!(read("-9223372036854775808"), Ok(Value::Int(i64::MIN)));
}

#[test]
fn entities_are_not_expanded() {
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaa\">]><methodResponse><params><param><value>&a;</value></param></params></methodResponse>";
    assert!(xml::decode_reply(bomb.as_bytes(), &Limits::default()).is_err());
}

#[test]
fn json_takes_the_bare_tokens_and_only_outside_texts() {
    let body = br#"{"jsonrpc":"2.0","result":{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN \" Infinity","Infinity":"-Infinity"},"id":1}"#;
    let value = json::decode_reply(body, &Limits::default()).unwrap().unwrap();
    let members = value.as_struct().unwrap();
    assert_eq!(members.get("a"), Some(&Value::Float(f64::NAN)));
    assert_eq!(members.get("b"), Some(&Value::Array(vec![f64::NEG_INFINITY.into(), f64::INFINITY.into()])));
    assert_eq!(members.get("c"), Some(&"NaN \" Infinity".into()));
    assert_eq!(members.get("Infinity"), Some(&"-Infinity".into()));
}

#[test]
fn json_errors_of_both_versions_are_read() {
    for body in [
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"SESSION_INVALID","data":["x"]},"id":7}"#,
        r#"{"result":null,"error":["SESSION_INVALID","x"],"id":7}"#,
        r#"{"jsonrpc":"2.0","error":["SESSION_INVALID","x"],"id":0}"#,
    ] {
        let reply = json::decode_reply(body.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(reply, Err(Failure::new("SESSION_INVALID", ["x"])), "{body}");
    }
}
