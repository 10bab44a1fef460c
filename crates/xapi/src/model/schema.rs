//! What XAPI's object model says of itself, as constant tables.
//!
//! The rows come from `schema/xapi.json` by `cargo xtask codegen`. A pool may be older or newer than the
//! table: unknown classes, fields and enum words are kept as they came, never an error.

use super::generated::index::METHODS;
use super::generated::tables as generated;

/// XAPI's version that the table describes, such as `2.23`.
pub const API_VERSION: &str = generated::API_VERSION;
/// The version of the `state.db` columns that the table describes, such as `5.909`.
pub const DATABASE_SCHEMA: &str = generated::DATABASE_SCHEMA;

/// One class of objects.
#[derive(Debug)]
pub struct Class {
    /// The name on the wire, with its case: `VM`, `host`. Events carry it in lower case.
    pub name: &'static str,
    /// The release that brought it; see [`release`].
    pub since: &'static str,
    /// How far it is in its life.
    pub state: State,
    /// The release that deprecated it.
    pub deprecated: Option<&'static str>,
    /// The release that removed it.
    pub removed: Option<&'static str>,
    /// Whether `event.from` ever tells of it.
    pub events: bool,
    /// Whether it is a table of the database.
    pub in_database: bool,
    /// Whether its rows survive a restart of xapi.
    pub persistent: bool,
    /// Whether it has `get_all_records_where` and, since xapi 24.20.0, `get_all_where`, which [`Class::methods`] leave out as
    /// the published datamodel does.
    pub answers_queries: bool,
    /// Fields of its record, in the order of the datamodel.
    pub fields: &'static [Field],
    /// Methods, custom and generated, ordered by name; hidden ones are in [`hidden_methods`].
    pub methods: &'static [Method],
}

/// How far a class is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In use, and may still change.
    Prototyped,
    /// In use.
    Published,
    /// In use, and should not be.
    Deprecated,
    /// No more in use; its methods answer MESSAGE_REMOVED.
    Removed,
}

/// One field of a record.
#[derive(Debug)]
pub struct Field {
    /// The member name on the wire: `name_label`, `PV_args`.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Who may write it.
    pub access: Access,
    /// The column in `state.db` and in where-queries, when it differs from `name`.
    pub column: Option<&'static str>,
    /// The release that brought it; see [`release`].
    pub since: &'static str,
    /// The release that deprecated it.
    pub deprecated: Option<&'static str>,
    /// The release that removed it.
    pub removed: Option<&'static str>,
}

/// Who may write a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A generated setter exists.
    ReadWrite,
    /// Only the server writes it.
    ReadOnly,
    /// Set by the constructor, never again.
    Static,
}

/// One method of a class.
#[derive(Debug)]
pub struct Method {
    /// Without the class: `start`.
    pub name: &'static str,
    /// All parameters, the session first where there is one.
    pub parameters: &'static [Parameter],
    /// How many parameters at the end may be left out.
    pub optional: usize,
    /// What it returns.
    pub result: Type,
    /// The lowest role that may call it.
    pub role: Role,
    /// Whether `Async.CLASS.NAME` exists.
    pub asynchronous: bool,
    /// Whether it follows from the class (getters, setters, `get_all`, ...) rather than being written by hand.
    pub generated: bool,
    /// The release that brought it; see [`release`].
    pub since: &'static str,
    /// The release that deprecated it.
    pub deprecated: Option<&'static str>,
    /// The release that removed it: servers from there on answer MESSAGE_REMOVED.
    pub removed: Option<&'static str>,
    /// Whether its arguments are secret and must not be logged.
    pub secret: bool,
    /// Whether a session that was opened with a client certificate may call it, beside all that the read-only role may.
    pub client_certificate: bool,
    /// Errors that it declares. Others occur as well.
    pub errors: &'static [&'static str],
}

/// One parameter of a method.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in the datamodel.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
}

/// A type of the object model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// UTF-8 text.
    String,
    /// 64-bit signed integer.
    Int,
    /// 64-bit float; NaN and infinities occur.
    Float,
    /// Truth value.
    Bool,
    /// XAPI's compact ISO 8601, `20260821T02:00:23Z`.
    DateTime,
    /// Nothing, sent as an empty text.
    Void,
    /// An opaque reference to an object of the class.
    Ref(&'static str),
    /// A word of the enumeration; unknown words occur.
    Enum(&'static str),
    /// A list; XAPI calls it a set but keeps order and duplicates.
    Set(&'static Type),
    /// A map with text keys on the wire.
    Map(&'static Type, &'static Type),
    /// A record of the class.
    Record(&'static str),
    /// A member that is left out when there is nothing.
    Option(&'static Type),
}

/// Roles from least to most powerful; comparison follows that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May look at everything and change nothing.
    ReadOnly,
    /// May start, stop and use VMs.
    VmOperator,
    /// May create and destroy VMs.
    VmAdmin,
    /// As `VmAdmin`, also on VMs' hardware and crashes.
    VmPowerAdmin,
    /// May change everything but users and roles.
    PoolOperator,
    /// May do everything.
    PoolAdmin,
    /// Only root on the host itself.
    LocalRoot,
}

/// An enumeration and its words.
#[derive(Debug)]
pub struct Enum {
    /// Its name in the datamodel.
    pub name: &'static str,
    /// Known words, in the order of the datamodel.
    pub words: &'static [&'static str],
}

/// Two fields that the database keeps consistent.
#[derive(Debug)]
pub struct Relation {
    /// Class of the field that is written by hand.
    pub class: &'static str,
    /// The field written by hand.
    pub field: &'static str,
    /// Class of the field that follows.
    pub other_class: &'static str,
    /// The field that follows by itself.
    pub other_field: &'static str,
    /// Whether both ends are sets.
    pub many_to_many: bool,
}

impl Class {
    /// The field of that wire name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The method of that name (without the class).
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&'static Method> {
        let at = self.methods.binary_search_by(|method| method.name.cmp(name)).ok()?;
        self.methods.get(at)
    }
}

impl Type {
    /// The class that such a value refers to: a reference, a set of them, or a map to them.
    #[must_use]
    pub fn target(&self) -> Option<&'static str> {
        match self {
            Type::Ref(class) => Some(class),
            Type::Set(element) | Type::Map(_, element) => match element {
                Type::Ref(class) => Some(class),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Parameter {
    pub(super) const fn new(name: &'static str, kind: Type) -> Self {
        Parameter { name, kind }
    }
}

impl Method {
    /// A method without any flags, for tables beside this one.
    #[must_use]
    pub const fn new(
        name: &'static str,
        parameters: &'static [Parameter],
        result: Type,
        role: Role,
        since: &'static str,
    ) -> Self {
        Method {
            name,
            parameters,
            optional: 0,
            result,
            role,
            asynchronous: false,
            generated: false,
            since,
            deprecated: None,
            removed: None,
            secret: false,
            client_certificate: false,
            errors: &[],
        }
    }

    pub(super) const fn optional(self, optional: usize) -> Self {
        Method { optional, ..self }
    }

    pub(super) const fn asynchronous(self) -> Self {
        Method { asynchronous: true, ..self }
    }

    /// The same method, [`Method::generated`].
    #[must_use]
    pub const fn generated(self) -> Self {
        Method { generated: true, ..self }
    }

    pub(super) const fn deprecated(self, release: &'static str) -> Self {
        Method { deprecated: Some(release), ..self }
    }

    pub(super) const fn removed(self, release: &'static str) -> Self {
        Method { removed: Some(release), ..self }
    }

    pub(super) const fn client_certificate(self) -> Self {
        Method { client_certificate: true, ..self }
    }

    pub(super) const fn errors(self, errors: &'static [&'static str]) -> Self {
        Method { errors, ..self }
    }

    pub(super) const fn secret(self) -> Self {
        Method { secret: true, ..self }
    }

    /// Whether calling it can change anything: everything above the read-only role.
    ///
    /// Own sessions are not counted: `session.logout` needs no role but is told apart by its class.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.role > Role::ReadOnly
    }
}

impl Field {
    pub(super) const fn new(
        name: &'static str,
        kind: Type,
        access: Access,
        column: Option<&'static str>,
        since: &'static str,
    ) -> Self {
        Field { name, kind, access, column, since, deprecated: None, removed: None }
    }

    pub(super) const fn deprecated(self, release: &'static str) -> Self {
        Field { deprecated: Some(release), ..self }
    }

    pub(super) const fn removed(self, release: &'static str) -> Self {
        Field { removed: Some(release), ..self }
    }

    /// The column of this field in `state.db` and where-queries.
    #[must_use]
    pub fn column(&self) -> &'static str {
        self.column.unwrap_or(self.name)
    }
}

/// All classes, in the order of the datamodel.
#[must_use]
pub fn classes() -> &'static [Class] {
    generated::CLASSES
}

/// The class of that name. Case is ignored, since events carry names in lower case.
#[must_use]
pub fn class(name: &str) -> Option<&'static Class> {
    // In place of a lower-case copy: names are ASCII, so bytes compare as the table is ordered.
    let lower = || name.bytes().map(|byte| byte.to_ascii_lowercase());
    let rows = generated::CLASSES_BY_LOWER_CASE;
    let at = rows.binary_search_by(|(known, _)| known.bytes().cmp(lower())).ok()?;
    rows.get(at).and_then(|(_, class)| generated::CLASSES.get(*class))
}

/// A method by its full name, `VM.start` or `Async.VM.start`. Case counts.
#[must_use]
pub fn method(name: &str) -> Option<(&'static Class, &'static Method)> {
    let name = name.strip_prefix("Async.").unwrap_or(name);
    let (class, method) = METHODS.get(name)?;
    let class = generated::CLASSES.get(*class)?;
    class.methods.get(*method).map(|method| (class, method))
}

/// The product that a release's code name stands for: `ely` is XenServer 7.1. Nothing for versions of xapi, such as
/// `23.14.0`, and for branches that were no product.
#[must_use]
pub fn release(code: &str) -> Option<&'static str> {
    generated::RELEASES.iter().find(|(known, _)| *known == code).map(|(_, product)| *product)
}

/// The enumeration of that name.
#[must_use]
pub fn enumeration(name: &str) -> Option<&'static Enum> {
    let at = generated::ENUMS.binary_search_by(|declared| declared.name.cmp(name)).ok()?;
    generated::ENUMS.get(at)
}

/// All enumerations, ordered by name.
#[must_use]
pub fn enumerations() -> &'static [Enum] {
    generated::ENUMS
}

/// All relations.
#[must_use]
pub fn relations() -> &'static [Relation] {
    generated::RELATIONS
}

/// Known error codes with the names of their parameters, where the datamodel declares them.
///
/// Declared parameters are no contract: some codes are raised with more.
#[must_use]
pub fn errors() -> &'static [(&'static str, Option<&'static [&'static str]>)] {
    generated::ERRORS
}

/// Methods that the published datamodel leaves out, by class.
#[must_use]
pub fn hidden_methods() -> &'static [(&'static str, &'static [&'static str])] {
    generated::HIDDEN_METHODS
}

/// Names of alerts (class `message`) with their priority, 1 (most pressing) to 5.
#[must_use]
pub fn alerts() -> &'static [(&'static str, u8)] {
    generated::ALERTS
}
