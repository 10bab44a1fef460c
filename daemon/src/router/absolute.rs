//! Methods that set something to a value, whatever it was: whether one was carried out shows when the field is read
//! again, and carrying it out once more does no harm. Pure.

use xapi::{Struct, Value};

use crate::setter::{Setter, Way};

/// What reading the field again says of a call whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The field is as the call makes it.
    Done,
    /// It is not, and the call may be made again.
    Undone,
    /// Neither can be said: somebody has written something else there.
    Unclear,
}

/// A call that sets one field of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting<'a> {
    setter: Setter,
    /// What follows the object among the arguments.
    rest: &'a [Value],
    object: &'a Value,
}

impl<'a> Setting<'a> {
    /// The call as a setting; none when it is another one.
    pub(super) fn of(method: &str, arguments: &'a [Value]) -> Option<Self> {
        let setter = Setter::of(method)?;
        let (object, rest) = arguments.split_first()?;
        let wanted = if setter.way == Way::AddToMap { 2 } else { 1 };
        (rest.len() == wanted).then_some(Setting { setter, rest, object })
    }

    /// The call that reads the field: its method and its argument.
    pub(super) fn getter(&self) -> (String, Value) {
        (format!("{}.get_{}", self.setter.class, self.setter.field), self.object.clone())
    }

    /// What the field says. `now` is typed by the schema, as the arguments are.
    pub(super) fn reading(&self, now: &Value) -> Reading {
        let either = |done| if done { Reading::Done } else { Reading::Undone };
        let key = self.rest.first().and_then(Value::as_str).unwrap_or_default();
        let member = |map: &Struct| map.get(key).cloned();
        match (self.setter.way, self.rest, now) {
            (Way::Set, [wanted], now) => either(wanted == now),
            (Way::AddToMap, [_, wanted], Value::Struct(map)) => match member(map) {
                None => Reading::Undone,
                Some(there) if there == *wanted => Reading::Done,
                Some(_) => Reading::Unclear,
            },
            (Way::RemoveFromMap, _, Value::Struct(map)) => either(member(map).is_none()),
            (Way::Add, [wanted], Value::Array(set)) => either(set.contains(wanted)),
            (Way::Remove, [wanted], Value::Array(set)) => either(!set.contains(wanted)),
            _ => Reading::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(method: &str, arguments: &[Value], now: &Value) -> Option<Reading> {
        let arguments = [&["OpaqueRef:vm".into()], arguments].concat();
        Setting::of(method, &arguments).map(|setting| setting.reading(now))
    }

    fn map(members: &[(&str, &str)]) -> Value {
        Value::Struct(members.iter().map(|(name, value)| ((*name).into(), Value::from(*value))).collect())
    }

    #[test]
    fn a_field_that_is_as_the_call_makes_it_shows_that_it_was_made() {
        use Reading::{Done, Unclear, Undone};
        let (a, b) = (Value::from("a"), Value::from("b"));
        assert_eq!(reading("VM.set_name_label", std::slice::from_ref(&a), &a), Some(Done));
        assert_eq!(reading("VM.set_name_label", std::slice::from_ref(&a), &b), Some(Undone));
        let add =
            |now: &[(&str, &str)]| reading("VM.add_to_other_config", &[a.clone(), b.clone()], &map(now));
        assert_eq!(add(&[("a", "b")]), Some(Done));
        assert_eq!(add(&[("x", "b")]), Some(Undone));
        assert_eq!(add(&[("a", "c")]), Some(Unclear));
        let remove = |now: &[(&str, &str)]| {
            reading("VM.remove_from_other_config", std::slice::from_ref(&a), &map(now))
        };
        assert_eq!(remove(&[("a", "b")]), Some(Undone));
        assert_eq!(remove(&[]), Some(Done));
        let tags = Value::Array(vec![a.clone()]);
        assert_eq!(reading("VM.add_tags", std::slice::from_ref(&a), &tags), Some(Done));
        assert_eq!(reading("VM.add_tags", std::slice::from_ref(&b), &tags), Some(Undone));
        assert_eq!(reading("VM.remove_tags", &[a], &tags), Some(Undone));
        assert_eq!(reading("VM.remove_tags", &[b], &tags), Some(Done));
    }

    #[test]
    fn other_calls_set_nothing_that_could_be_read() {
        for method in ["VM.start", "VM.set_memory", "VM.add_to_nothing", "VM.destroy", "nonsense"] {
            assert_eq!(reading(method, &[Value::from("a")], &Value::VOID), None, "{method}");
        }
        assert_eq!(reading("VM.set_name_label", &[], &Value::VOID), None, "too few arguments");
    }

    #[test]
    fn the_getter_is_of_the_same_object() {
        let arguments = [Value::from("OpaqueRef:vm"), Value::from("a")];
        let setting = Setting::of("VM.add_tags", &arguments).unwrap();
        assert_eq!(setting.getter(), ("VM.get_tags".to_owned(), Value::from("OpaqueRef:vm")));
    }
}
