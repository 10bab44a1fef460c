//! The values that XAPI speaks, the same for both wires.

use smol_str::SmolStr;

/// The reference that points nowhere.
pub const NULL_REF: &str = "OpaqueRef:NULL";

/// One XAPI value.
///
/// XML-RPC sends integers, enums, references and texts alike as untyped text, so a freshly decoded value may be
/// a [`Value::String`] where the datamodel says `int`; [`typed`](crate::model::typed) settles that.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text, enum word, reference or uuid. Void is the empty text.
    String(SmolStr),
    /// 64-bit integer.
    Int(i64),
    /// Float. NaN equals NaN here, so that comparing two records is total.
    Float(f64),
    /// Truth value.
    Bool(bool),
    /// XAPI's date text, kept as it came: `20260821T02:00:23Z`, sometimes without zone.
    DateTime(SmolStr),
    /// A set, in the order given.
    Array(Vec<Value>),
    /// A map or a record.
    Struct(Struct),
}

/// Members of a map or record, in the order given. Equality ignores order.
#[derive(Debug, Clone, Default)]
pub struct Struct(Vec<(SmolStr, Value)>);

impl Value {
    /// The value of a void result.
    pub const VOID: Value = Value::String(SmolStr::new_static(""));

    /// The text, for strings and dates.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::DateTime(text) => Some(text),
            _ => None,
        }
    }

    /// The integer; text that holds one counts, since XML-RPC sends integers so.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The float; integers and numeric text count.
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            Value::Int(number) => {
                #[expect(clippy::cast_precision_loss, reason = "a float was asked for")]
                let number = *number as f64;
                Some(number)
            }
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The truth value.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The elements.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members.
    #[must_use]
    pub fn as_struct(&self) -> Option<&Struct> {
        match self {
            Value::Struct(members) => Some(members),
            _ => None,
        }
    }

    /// Gives back memory that nothing is in.
    pub(crate) fn shrink(&mut self) {
        match self {
            Value::Array(elements) => elements.shrink_to_fit(),
            Value::Struct(members) => members.0.shrink_to_fit(),
            _ => {}
        }
    }

    /// What it is, for errors: `a text`, `a map`. Tells nothing of its content.
    #[must_use]
    pub fn shape(&self) -> &'static str {
        match self {
            Value::String(text) if text.is_empty() => "an empty text",
            Value::String(_) => "a text",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a truth value",
            Value::DateTime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Struct(_) => "a map",
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::String(a), Value::String(b)) | (Value::DateTime(a), Value::DateTime(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a == b,
            (Value::Struct(a), Value::Struct(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Struct {
    /// No members.
    #[must_use]
    pub const fn new() -> Self {
        Struct(Vec::new())
    }

    /// No members yet, room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Struct(Vec::with_capacity(count))
    }

    /// The member of that name; the first one if a peer sent it twice.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The member of that name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Appends a member without looking for an older one of the same name (decoders use it).
    pub fn push(&mut self, name: SmolStr, value: Value) {
        self.0.push((name, value));
    }

    /// Sets a member and returns what was there.
    pub fn insert(&mut self, name: impl Into<SmolStr>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        match self.get_mut(&name) {
            Some(place) => Some(std::mem::replace(place, value)),
            None => {
                self.0.push((name, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(index).1)
    }

    /// All members in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SmolStr, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// All members in their order, values to change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&SmolStr, &mut Value)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Struct {
    fn eq(&self, other: &Self) -> bool {
        if self.0.len() != other.0.len() {
            return false;
        }
        let mut pairs = self.0.iter().zip(&other.0);
        // Same order is the common case. Otherwise each member is looked up, from both sides: a name may stand in one twice.
        if pairs.clone().all(|((name, _), (same, _))| name == same) {
            return pairs.all(|((_, value), (_, with))| value == with);
        }
        let within = |one: &Self, all: &Self| one.0.iter().all(|(name, value)| all.get(name) == Some(value));
        within(self, other) && within(other, self)
    }
}

impl Eq for Struct {}

impl From<Vec<(SmolStr, Value)>> for Struct {
    fn from(members: Vec<(SmolStr, Value)>) -> Self {
        Struct(members)
    }
}

impl FromIterator<(SmolStr, Value)> for Struct {
    fn from_iter<I: IntoIterator<Item = (SmolStr, Value)>>(members: I) -> Self {
        Struct(members.into_iter().collect())
    }
}

impl IntoIterator for Struct {
    type Item = (SmolStr, Value);
    type IntoIter = std::vec::IntoIter<(SmolStr, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<SmolStr> for Value {
    fn from(text: SmolStr) -> Self {
        Value::String(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<Vec<Value>> for Value {
    fn from(elements: Vec<Value>) -> Self {
        Value::Array(elements)
    }
}

impl From<Struct> for Value {
    fn from(members: Struct) -> Self {
        Value::Struct(members)
    }
}
