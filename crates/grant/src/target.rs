//! The object that a call acts on: the first of its arguments that is a reference.

use xapi::Value;
use xapi::model::schema::Parameter;
use xapi::model::{Method, Record, Type, World};

use crate::is_null;

/// The object that a call acts on, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub enum Target<'w> {
    /// The method has no parameter that is a reference.
    None,
    /// The reference points nowhere.
    Null,
    /// Its record.
    Known(&'w Record),
    /// A reference of this class that is not in the world.
    Unknown {
        /// The class.
        class: &'static str,
    },
}

/// A method's parameters without the session.
pub fn parameters(method: &Method) -> impl Iterator<Item = &'static Parameter> + use<> {
    let all = method.parameters;
    let session =
        all.first().is_some_and(|first| first.name == "session_id" && first.kind == Type::Ref("session"));
    all.iter().skip(usize::from(session))
}

/// Which argument (from 0, without the session) is the object that a method acts on, and its class.
#[must_use]
pub fn target_parameter(method: &Method) -> Option<(usize, &'static str)> {
    parameters(method).enumerate().find_map(|(index, parameter)| match parameter.kind {
        Type::Ref(class) => Some((index, class)),
        _ => None,
    })
}

/// The object that a call acts on. `arguments` are raw XAPI values without the session.
#[must_use]
pub fn target_of<'w>(method: &Method, arguments: &[Value], world: &'w World) -> Target<'w> {
    let Some((index, class)) = target_parameter(method) else { return Target::None };
    let reference = arguments.get(index).and_then(Value::as_str).unwrap_or_default();
    if is_null(reference) {
        return Target::Null;
    }
    world.get(class, reference).map_or(Target::Unknown { class }, |record| Target::Known(record))
}
