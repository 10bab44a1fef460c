//! What a field of each type holds most of the time.

use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt as _};
use smol_str::SmolStr;

use super::fields::bit;
use super::schema::{self, Class, Field, Type};
use crate::codec::Awaited;
use crate::value::{NULL_REF, Struct, Value};

static EMPTY_TEXT: Value = Value::VOID;
static NO_REFERENCE: Value = Value::String(SmolStr::new_static(NULL_REF));
static ZERO: Value = Value::Int(0);
static FLOAT_ZERO: Value = Value::Float(0.0);
static NO: Value = Value::Bool(false);
static EMPTY_SET: Value = Value::Array(Vec::new());
static EMPTY_MAP: Value = Value::Struct(Struct::new());

/// What a field of this type holds most of the time.
pub(super) fn usual(kind: &Type) -> Option<&'static Value> {
    match kind {
        Type::String => Some(&EMPTY_TEXT),
        Type::Ref(_) => Some(&NO_REFERENCE),
        Type::Int => Some(&ZERO),
        Type::Float => Some(&FLOAT_ZERO),
        Type::Bool => Some(&NO),
        Type::Set(_) => Some(&EMPTY_SET),
        Type::Map(..) => Some(&EMPTY_MAP),
        Type::DateTime | Type::Void | Type::Enum(_) | Type::Record(_) | Type::Option(_) => None,
    }
}

/// The same as JSON text without white space; empty where there is none.
fn usual_json(kind: &Type) -> &'static str {
    match kind {
        Type::String => "\"\"",
        Type::Ref(_) => "\"OpaqueRef:NULL\"",
        Type::Int | Type::Float => "0",
        Type::Bool => "false",
        Type::Set(_) => "[]",
        Type::Map(..) => "{}",
        Type::DateTime | Type::Void | Type::Enum(_) | Type::Record(_) | Type::Option(_) => "",
    }
}

pub(super) fn is_usual(kind: &Type, value: &Value) -> bool {
    match (kind, value) {
        (Type::String, Value::String(text)) => text.is_empty(),
        (Type::Set(_), Value::Array(elements)) => elements.is_empty(),
        (Type::Map(..), Value::Struct(members)) => members.is_empty(),
        _ => usual(kind).is_some_and(|usual| usual == value),
    }
}

/// The fields of a class as they come over JSON-RPC, in its order.
pub(super) fn awaited(class: Option<&Class>) -> &'static [Awaited] {
    static CLASSES: LazyLock<HashMap<&'static str, Box<[Awaited]>>> = LazyLock::new(|| {
        let mut classes = HashMap::new();
        for class in schema::classes() {
            // A field that has no bit counts as unknown.
            let known = class.fields.iter().enumerate().filter(|(position, _)| bit(*position) != 0);
            classes.insert(class.name, known.map(|(_, field)| as_json(field)).collect());
        }
        classes
    });
    class.and_then(|class| CLASSES.get(class.name)).map_or(&[], |awaited| awaited)
}

fn as_json(field: &Field) -> Awaited {
    Awaited { opening: format!("\"{}\":", field.name).into(), usual: usual_json(&field.kind) }
}
