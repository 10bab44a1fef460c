//! Methods that only set a field: told from their names by the schema. Pure.

use xapi::model::schema;

/// How a method sets its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `set_F`: to a value.
    Set,
    /// `add_to_F`: a key of a map, with its value.
    AddToMap,
    /// `remove_from_F`: a key of a map.
    RemoveFromMap,
    /// `add_F`: an element of a set.
    Add,
    /// `remove_F`: an element of a set.
    Remove,
}

/// A method that sets one field of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setter {
    /// The class with its case on the wire.
    pub(crate) class: &'static str,
    /// The field.
    pub(crate) field: &'static str,
    pub(crate) way: Way,
}

impl Setter {
    /// The method, such as `VM.add_tags`, as a setter; none when the schema has no such field.
    pub(crate) fn of(method: &str) -> Option<Self> {
        const WAYS: [(&str, Way); 5] = [
            ("set_", Way::Set),
            ("add_to_", Way::AddToMap),
            ("remove_from_", Way::RemoveFromMap),
            ("add_", Way::Add),
            ("remove_", Way::Remove),
        ];
        let (class, name) = method.split_once('.')?;
        let class = schema::class(class)?;
        WAYS.iter().find_map(|(prefix, way)| {
            let field = name.strip_prefix(prefix)?;
            let field = class.fields.iter().find(|known| known.name == field)?;
            Some(Setter { class: class.name, field: field.name, way: *way })
        })
    }
}
