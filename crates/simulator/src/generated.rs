//! Methods that follow from the datamodel: records, lists, lookups, getters, setters, constructors.
//!
//! Nothing here names a class but for the rules of a few constructors' and destructors' own.

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

/// Runs a method that follows from the datamodel; `None` when it is none of those.
pub(crate) fn run(
    pool: &mut Pool,
    class: &'static Class,
    method: &str,
    arguments: &Arguments,
) -> Option<Answered> {
    let table = pool.database.table(class.name)?;
    let done = |value: Result<Value, Failure>| Some(value.map(Outcome::Done));
    match method {
        "get_record" => return done(pool.record_of(class.name, arguments.text(0)).map(Value::Struct)),
        "get_all" => return done(Ok(Value::Array(table.rows.keys().cloned().map(Value::String).collect()))),
        "get_all_records" => return done(Ok(records(table, |_| true))),
        "get_all_where" | "get_all_records_where" => {
            return done(where_query(table, arguments.text(0), method == "get_all_records_where"));
        }
        "get_by_uuid" => return done(by_uuid(pool, class, arguments.text(0))),
        "get_by_name_label" if class.field("name_label").is_some() => {
            let named = table.with("name_label", arguments.text(0));
            return done(Ok(Value::Array(named.cloned().map(Value::String).collect())));
        }
        "create" => return Some(create(pool, class, arguments)),
        "destroy" => return Some(destroy(pool, class, arguments.text(0))),
        _ => {}
    }
    let change =
        |change: fn(&mut Pool, &'static Class, &'static Field, &Arguments) -> Result<(), Failure>,
         field: &'static Field,
         pool: &mut Pool| {
            let known = pool.known(class.name, arguments.text(0));
            Some(known.and_then(|()| change(pool, class, field, arguments)).map(|()| Value::VOID.into()))
        };
    // Longer prefixes first: a class may have both `add_to_tags` and a field `to_tags`.
    if let Some(field) = named(class, method, "get_") {
        let value = pool.database.value(class.name, arguments.text(0), field.name).cloned();
        return done(value.ok_or_else(|| failures::handle_invalid(class.name, arguments.text(0))));
    }
    if let Some(field) = named(class, method, "set_").filter(|field| field.access == Access::ReadWrite) {
        return change(set, field, pool);
    }
    if let Some(field) = named(class, method, "add_to_") {
        return change(add_to, field, pool);
    }
    if let Some(field) = named(class, method, "remove_from_") {
        return change(remove_from, field, pool);
    }
    if let Some(field) = named(class, method, "add_") {
        return change(add, field, pool);
    }
    if let Some(field) = named(class, method, "remove_") {
        return change(remove, field, pool);
    }
    None
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

/// A destructor, refused while the object is in use.
fn destroy(pool: &mut Pool, class: &'static Class, reference: &str) -> Answered {
    pool.known(class.name, reference)?;
    let attached = pool.database.truth(class.name, reference, "currently_attached");
    let users = |field: &str| pool.database.words(class.name, reference, field).first().cloned();
    let refusal = match class.name {
        "VBD" | "VIF" | "PBD" if attached => {
            let uuid = pool.database.text(class.name, reference, "uuid");
            Some(failures::not_allowed(&format!("{} '{uuid}' still attached", class.name)))
        }
        "VDI" => {
            let busy = |vbd: &SmolStr| pool.database.truth("VBD", vbd, "currently_attached");
            let vbds = pool.database.words("VDI", reference, "VBDs");
            vbds.iter().any(busy).then(|| Failure::new("VDI_IN_USE", [reference, "destroy"]))
        }
        "network" => users("VIFs")
            .map(|vif| Failure::new("NETWORK_CONTAINS_VIF", [vif]))
            .or_else(|| users("PIFs").map(|pif| Failure::new("NETWORK_CONTAINS_PIF", [pif]))),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    pool.database.delete(class.name, reference);
    Ok(Value::VOID.into())
}
