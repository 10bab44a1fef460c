//! Any value survives either wire; any bytes give a value or an error, never a panic.

use proptest::prelude::*;
use xapi::codec::{Failure, Limits, json, xml};
use xapi::{Struct, Value};

fn text() -> impl Strategy<Value = String> {
    // Everything that XML 1.0 can carry, markup and line ends included.
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
            proptest::collection::btree_map("[a-zA-Z_][a-z0-9_:/ -]{0,30}", inner, 0..6).prop_map(
                |members| {
                    Value::Struct(
                        members.into_iter().map(|(name, value)| (name.into(), value)).collect::<Struct>(),
                    )
                }
            ),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_survives_xml(value in value()) {
        let body = xml::encode_reply(&Ok(value.clone()));
        prop_assert_eq!(xml::decode_reply(body.as_bytes(), &Limits::default()).unwrap(), Ok(value));
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
        prop_assert_eq!((&read.method, &read.arguments), (&method, &arguments));
        let read = json::decode_call(json::encode_call(&method, &arguments, 1).as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!((&read.method, &read.arguments), (&method, &arguments));
    }

    #[test]
    fn any_failure_survives_both(code in "[A-Z_]{1,20}", parameters in proptest::collection::vec(text(), 0..4)) {
        let failure = Err(Failure::new(&code, parameters));
        let read = xml::decode_reply(xml::encode_reply(&failure).as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(&read, &failure);
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
