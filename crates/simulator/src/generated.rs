//! Methods that follow from the datamodel: records, lists, lookups, getters, setters, constructors.
//!
//! Nothing here names a class: constructors and destructors with rules of their own are written by hand.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::model::schema::{Access, Class, Field, Type};
use xapi::{NULL_REF, Struct, Value};

use crate::arguments::Arguments;
use crate::database::{Row, Table};
use crate::filter::Filter;
use crate::pool::Pool;
use crate::tasks::Outcome;
use crate::{catalog, failures};

type Answered = Result<Outcome, Failure>;

/// What a method that follows from the datamodel does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// One record.
    Record,
    /// All references.
    All,
    /// All records.
    AllRecords,
    /// References of those that a query fits.
    AllWhere,
    /// Records of those that a query fits.
    AllRecordsWhere,
    /// The reference that has a uuid.
    ByUuid,
    /// References that have a name.
    ByNameLabel,
    /// A new row.
    Create,
    /// A row taken away.
    Destroy,
    /// One field.
    Get(&'static Field),
    /// One field written.
    Set(&'static Field),
    /// A key put into a map, an element into a set.
    AddTo(&'static Field),
    /// A key taken out of a map, an element out of a set.
    RemoveFrom(&'static Field),
    /// An element put into a set.
    Add(&'static Field),
    /// An element taken out of a set.
    Remove(&'static Field),
}

/// What a method does; `None` when it does not follow from the datamodel.
pub(crate) fn kind(class: &'static Class, method: &str) -> Option<Kind> {
    catalog::entry(class.name)?;
    // Constructors and destructors that are written by hand have rules of their own.
    let generated = || class.method(method).is_some_and(|method| method.generated);
    match method {
        "get_record" => return Some(Kind::Record),
        "get_all" => return Some(Kind::All),
        "get_all_records" => return Some(Kind::AllRecords),
        "get_all_where" => return Some(Kind::AllWhere),
        "get_all_records_where" => return Some(Kind::AllRecordsWhere),
        "get_by_uuid" => return Some(Kind::ByUuid),
        "get_by_name_label" if class.field("name_label").is_some() => return Some(Kind::ByNameLabel),
        "create" if generated() => return Some(Kind::Create),
        "destroy" if generated() => return Some(Kind::Destroy),
        _ => {}
    }
    let field = |prefix| named(class, method, prefix);
    // Longer prefixes first: a class may have both `add_to_tags` and a field `to_tags`.
    field("get_")
        .map(Kind::Get)
        .or_else(|| field("set_").filter(|field| field.access == Access::ReadWrite).map(Kind::Set))
        .or_else(|| field("add_to_").map(Kind::AddTo))
        .or_else(|| field("remove_from_").map(Kind::RemoveFrom))
        .or_else(|| field("add_").map(Kind::Add))
        .or_else(|| field("remove_").map(Kind::Remove))
}

/// Runs a method that follows from the datamodel.
pub(crate) fn run(pool: &mut Pool, class: &'static Class, kind: Kind, arguments: &Arguments) -> Answered {
    let first = arguments.text(0);
    let table = pool.database.table(class.name).ok_or_else(|| failures::handle_invalid(class.name, first))?;
    let value = match kind {
        Kind::Record => Value::Struct(pool.record_of(class.name, first)?),
        Kind::All => Value::Array(table.rows.keys().cloned().map(Value::String).collect()),
        Kind::AllRecords => records(table, |_| true),
        Kind::AllWhere => where_query(table, first, false)?,
        Kind::AllRecordsWhere => where_query(table, first, true)?,
        Kind::ByUuid => by_uuid(pool, class, first)?,
        Kind::ByNameLabel => {
            Value::Array(table.with("name_label", first).cloned().map(Value::String).collect())
        }
        Kind::Create => return create(pool, class, arguments),
        Kind::Destroy => return destroy(pool, class, first),
        Kind::Get(field) => {
            let value = pool.database.value(class.name, first, field.name).cloned();
            value.ok_or_else(|| failures::handle_invalid(class.name, first))?
        }
        Kind::Set(field) => return change(pool, class, field, arguments, set),
        Kind::AddTo(field) => return change(pool, class, field, arguments, add_to),
        Kind::RemoveFrom(field) => return change(pool, class, field, arguments, remove_from),
        Kind::Add(field) => return change(pool, class, field, arguments, add),
        Kind::Remove(field) => return change(pool, class, field, arguments, remove),
    };
    Ok(value.into())
}

/// Writes to one field of one object.
pub(crate) type Change = fn(&mut Pool, &'static Class, &'static Field, &Arguments) -> Result<(), Failure>;

fn change(
    pool: &mut Pool,
    class: &'static Class,
    field: &'static Field,
    arguments: &Arguments,
    change: Change,
) -> Answered {
    pool.known(class.name, arguments.text(0))?;
    change(pool, class, field, arguments)?;
    Ok(Value::VOID.into())
}

/// References with records, of the rows that are wanted.
pub(crate) fn records(table: &Table, wanted: impl Fn(&Row) -> bool) -> Value {
    let chosen = table.rows.iter().filter(|(_, row)| wanted(row));
    Value::Struct(
        chosen.map(|(reference, row)| (reference.clone(), Value::Struct(table.record(row)))).collect(),
    )
}

/// Writes one field as a setter does.
pub(crate) fn set(
    pool: &mut Pool,
    class: &'static Class,
    field: &'static Field,
    arguments: &Arguments,
) -> Result<(), Failure> {
    pool.database.write(class.name, arguments.text(0), field.name, arguments.value(1));
    Ok(())
}

/// Adds a key to a map, or an element to a set.
pub(crate) fn add_to(
    pool: &mut Pool,
    class: &'static Class,
    field: &'static Field,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let (reference, key) = (arguments.text(0), arguments.text(1));
    let Some(Value::Struct(members)) = pool.database.value(class.name, reference, field.name) else {
        return add(pool, class, field, arguments);
    };
    if members.get(key).is_some() {
        return Err(failures::duplicate_key(class.name, field.name, reference, key));
    }
    // Newest first, as xapi keeps them.
    let mut changed: Struct = [(SmolStr::new(key), arguments.value(2))].into_iter().collect();
    for (name, value) in members.iter() {
        changed.push(name.clone(), value.clone());
    }
    pool.database.write(class.name, reference, field.name, Value::Struct(changed));
    Ok(())
}

/// Takes a key out of a map, or an element out of a set; what is not there is no error.
pub(crate) fn remove_from(
    pool: &mut Pool,
    class: &'static Class,
    field: &'static Field,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let (reference, key) = (arguments.text(0), arguments.text(1));
    let Some(Value::Struct(members)) = pool.database.value(class.name, reference, field.name) else {
        return remove(pool, class, field, arguments);
    };
    let mut changed = members.clone();
    changed.remove(key);
    pool.database.write(class.name, reference, field.name, Value::Struct(changed));
    Ok(())
}

fn add(
    pool: &mut Pool,
    class: &'static Class,
    field: &'static Field,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let (reference, element) = (arguments.text(0), arguments.value(1));
    if let Some(Value::Array(elements)) = pool.database.value(class.name, reference, field.name)
        && !elements.contains(&element)
    {
        let changed = std::iter::once(element).chain(elements.iter().cloned()).collect();
        pool.database.write(class.name, reference, field.name, Value::Array(changed));
    }
    Ok(())
}

fn remove(
    pool: &mut Pool,
    class: &'static Class,
    field: &'static Field,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let (reference, element) = (arguments.text(0), arguments.value(1));
    if let Some(Value::Array(elements)) = pool.database.value(class.name, reference, field.name) {
        let changed = elements.iter().filter(|other| **other != element).cloned().collect();
        pool.database.write(class.name, reference, field.name, Value::Array(changed));
    }
    Ok(())
}

fn named(class: &'static Class, method: &str, prefix: &str) -> Option<&'static Field> {
    let field = class.field(method.strip_prefix(prefix)?)?;
    // Adding and removing is for sets and maps only.
    let fits = match prefix {
        "get_" | "set_" => true,
        _ => matches!(field.kind, Type::Set(_) | Type::Map(_, _)),
    };
    fits.then_some(field)
}

fn by_uuid(pool: &Pool, class: &Class, uuid: &str) -> Result<Value, Failure> {
    let found = pool.database.by_uuid(class.name, uuid);
    found.map(Value::String).ok_or_else(|| failures::uuid_invalid(class.name, uuid))
}

fn where_query(table: &Table, text: &str, whole: bool) -> Result<Value, Failure> {
    let filter = Filter::parse(text, table.entry)?;
    if whole {
        return Ok(records(table, |row| filter.fits(row)));
    }
    let chosen = table.rows.iter().filter(|(_, row)| filter.fits(row));
    Ok(Value::Array(chosen.map(|(reference, _)| Value::String(reference.clone())).collect()))
}

/// A constructor: the record's references must be real, what only the server writes is not taken.
fn create(pool: &mut Pool, class: &'static Class, arguments: &Arguments) -> Answered {
    let Value::Struct(given) = arguments.value(0) else {
        return Err(failures::method_unknown(&format!("{}.create", class.name)));
    };
    let mut fields = Vec::new();
    for field in class.fields.iter().filter(|field| field.access != Access::ReadOnly) {
        let Some(value) = given.get(field.name) else { continue };
        if let (Type::Ref(other), Some(target)) = (&field.kind, value.as_str())
            && target != NULL_REF
            && catalog::entry(other).is_some()
        {
            pool.known(other, target)?;
        }
        fields.push((field.name, value.clone()));
    }
    fields.push(("uuid", Value::String(pool.random.uuid())));
    let reference = pool.random.reference();
    pool.database.create(class.name, &reference, fields);
    Ok(Value::String(reference).into())
}

/// A destructor.
fn destroy(pool: &mut Pool, class: &'static Class, reference: &str) -> Answered {
    pool.known(class.name, reference)?;
    pool.database.delete(class.name, reference);
    Ok(Value::VOID.into())
}
