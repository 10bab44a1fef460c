//! Methods that xapi has written by hand: one table from name to function.
//!
//! What is in the datamodel and neither here nor follows from it answers as an unknown method: the simulator does less
//! than a pool, never something else.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::model::schema::{self, Class, Field, Method, Parameter, Role, Type};
use xapi::{Struct, Value};

use crate::arguments::Arguments;
use crate::database::Occurrence;
use crate::generated::Change;
use crate::pool::Pool;
use crate::tasks::{Origin, Outcome};
use crate::{
    appliance, devices, failures, generated, host, legacy, machine, membership, network, session, storage,
};

type Answered = Result<Outcome, Failure>;

/// A method written by hand.
pub(crate) type Custom = fn(&mut Pool, &Arguments) -> Answered;

/// A class, a method and its function.
pub(crate) type Entry = (&'static str, &'static str, Custom);

/// All methods written by hand: a table for each room.
const TABLES: &[&[Entry]] = &[
    METHODS,
    session::METHODS,
    machine::METHODS,
    devices::METHODS,
    storage::METHODS,
    network::METHODS,
    host::METHODS,
    membership::METHODS,
    appliance::METHODS,
];

/// Methods of events, tasks and messages.
const METHODS: &[Entry] = &[
    ("event", "inject", |pool, a| pool.inject(a.text(0), a.text(1)).map(Outcome::Done)),
    ("event", "get_current_id", |pool, _| Ok(Value::Int(pool.legacy.current()).into())),
    ("event", "register", legacy::register),
    ("event", "unregister", legacy::unregister),
    ("task", "create", create_task),
    ("task", "cancel", |pool, a| pool.cancel_task(&a.session, a.text(0))),
    ("task", "destroy", |pool, a| pool.destroy_task(&a.session, a.text(0))),
    ("message", "create", create_message),
    ("message", "destroy", destroy_message),
    ("message", "get", get_messages),
    ("message", "get_since", |pool, a| {
        let since = a.value(0);
        let since = since.as_str().unwrap_or_default();
        Ok(pool.messages.records(|record| text(record, "timestamp") >= since).into())
    }),
    ("message", "get_all", |pool, _| {
        Ok(Value::Array(pool.messages.iter().map(|m| Value::String(m.reference.clone())).collect()).into())
    }),
    ("message", "get_all_records", |pool, _| Ok(pool.messages.records(|_| true).into())),
    ("message", "get_record", |pool, a| Ok(Value::Struct(pool.messages.get(a.text(0))?.clone()).into())),
    ("message", "get_by_uuid", message_by_uuid),
];

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str), Custom>> = LazyLock::new(|| {
    let entries = TABLES.iter().flat_map(|table| table.iter());
    entries.map(|(class, method, function)| ((*class, *method), *function)).collect()
});

/// The function of a method, if it has one.
pub(crate) fn of(class: &str, method: &str) -> Option<Custom> {
    BY_NAME.get(&(class, method)).copied()
}

/// A setter that xapi has written by hand although it does little more than write the field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainSetter {
    field: &'static Field,
    change: Change,
}

/// The plain setter of that name, if it is one.
pub(crate) fn plain_setter(class: &'static Class, method: &str) -> Option<PlainSetter> {
    let (change, name): (Change, _) = if let Some(name) = method.strip_prefix("set_") {
        (generated::set, name)
    } else if let Some(name) = method.strip_prefix("add_to_") {
        (generated::add_to, name)
    } else {
        (generated::remove_from, method.strip_prefix("remove_from_")?)
    };
    let field = class.field(name).filter(|_| PLAIN.contains(&(class.name, name)))?;
    Some(PlainSetter { field, change })
}

impl PlainSetter {
    /// Writes the field, unless the VM must be halted for that and is not.
    pub(crate) fn run(self, pool: &mut Pool, class: &'static Class, arguments: &Arguments) -> Answered {
        let reference = arguments.text(0);
        pool.known(class.name, reference)?;
        if class.name == "task" {
            pool.assert_own_task(&arguments.session, reference)?;
        }
        if HALTED_ONLY.contains(&self.field.name) {
            let state = pool.database.text("VM", reference, "power_state");
            if state != "Halted" {
                return Err(failures::bad_power_state(reference, "halted", &state.to_ascii_lowercase()));
            }
        }
        (self.change)(pool, class, self.field, arguments)?;
        Ok(Value::VOID.into())
    }
}

/// Fields whose hand-written setter writes the field.
const PLAIN: &[(&str, &str)] = &[
    ("SR", "name_description"),
    ("SR", "name_label"),
    ("VDI", "allow_caching"),
    ("VDI", "name_description"),
    ("VDI", "name_label"),
    ("VIF", "ipv4_allowed"),
    ("VIF", "ipv6_allowed"),
    ("VIF", "locking_mode"),
    ("VM", "HVM_boot_policy"),
    ("VM", "HVM_shadow_multiplier"),
    ("VM", "NVRAM"),
    ("VM", "actions_after_crash"),
    ("VM", "bios_strings"),
    ("VM", "blocked_operations"),
    ("VM", "ha_always_run"),
    ("VM", "ha_restart_priority"),
    ("VM", "has_vendor_device"),
    ("VM", "order"),
    ("VM", "other_config"),
    ("VM", "platform"),
    ("VM", "shutdown_delay"),
    ("VM", "start_delay"),
    ("VM", "suspend_VDI"),
    ("VM_group", "placement"),
    ("host", "multipathing"),
    ("network", "default_locking_mode"),
    ("task", "error_info"),
    ("task", "other_config"),
    ("task", "progress"),
    ("task", "result"),
    ("task", "status"),
];

/// Fields of a VM that cannot be written while it runs.
const HALTED_ONLY: &[&str] = &["HVM_boot_policy", "has_vendor_device"];

/// Names of all methods that a pool has, as `system.listMethods` gives them: hidden ones too, asynchronous forms not.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let published = schema::classes()
        .iter()
        .flat_map(|class| class.methods.iter().map(move |method| format!("{}.{}", class.name, method.name)));
    let queries =
        schema::classes().iter().filter(|class| class.method("get_all").is_some()).flat_map(|class| {
            [&GET_ALL_WHERE, &GET_ALL_RECORDS_WHERE].map(|method| format!("{}.{}", class.name, method.name))
        });
    let hidden = schema::hidden_methods()
        .iter()
        .flat_map(|(class, methods)| methods.iter().map(move |method| format!("{class}.{method}")));
    // The queries are hidden too, and some classes' are in both lists.
    published.chain(queries).chain(hidden).collect::<BTreeSet<_>>().into_iter()
}

/// Methods that the published datamodel leaves out and that every class with `get_all` has.
pub(crate) fn hidden(name: &str) -> Option<(&'static Class, &'static Method)> {
    let (of, method) = name.split_once('.')?;
    let class = schema::classes().iter().find(|class| class.name == of)?;
    let hidden = [&GET_ALL_WHERE, &GET_ALL_RECORDS_WHERE].into_iter().find(|hidden| hidden.name == method)?;
    class.method("get_all").map(|_| (class, hidden))
}

const QUERY: &[Parameter] = &[
    Parameter { name: "session_id", kind: Type::Ref("session") },
    Parameter { name: "expr", kind: Type::String },
];
static GET_ALL_WHERE: Method = query("get_all_where", Type::Set(&Type::String), "24.20.0");
static GET_ALL_RECORDS_WHERE: Method =
    query("get_all_records_where", Type::Map(&Type::String, &Type::String), "rio");

const fn query(name: &'static str, result: Type, since: &'static str) -> Method {
    Method::new(name, QUERY, result, Role::ReadOnly, since).generated()
}

fn create_task(pool: &mut Pool, arguments: &Arguments) -> Answered {
    let origin = Origin::default();
    let task = pool.new_task(arguments.text(0), arguments.text(1), &origin, &arguments.session);
    Ok(Value::String(task).into())
}

fn create_message(pool: &mut Pool, arguments: &Arguments) -> Answered {
    let (class, uuid) = (SmolStr::new(arguments.text(2)), SmolStr::new(arguments.text(3)));
    // The words of `cls` are not spelled as the tables are: `Pool`, `Host`.
    let table = schema::classes().iter().find(|table| table.name.eq_ignore_ascii_case(&class));
    if table.and_then(|table| pool.database.by_uuid(table.name, &uuid)).is_none() {
        return Err(failures::uuid_invalid(&class, &uuid));
    }
    let body = arguments.text(4).to_owned();
    let message = pool.alert(arguments.text(0), arguments.int(1), &class, &uuid, body);
    Ok(Value::String(message).into())
}

fn destroy_message(pool: &mut Pool, arguments: &Arguments) -> Answered {
    let reference = SmolStr::new(arguments.text(0));
    let snapshot = pool.messages.get(&reference)?.clone();
    let generation = pool.database.bump();
    pool.messages.remove(generation, &reference)?;
    pool.database.note(Occurrence { class: "message", reference, operation: "del", snapshot });
    Ok(Value::VOID.into())
}

fn get_messages(pool: &mut Pool, arguments: &Arguments) -> Answered {
    let (class, uuid, since) = (arguments.text(0), arguments.text(1), arguments.text(2));
    let wanted = |record: &Struct| {
        text(record, "cls") == class && text(record, "obj_uuid") == uuid && text(record, "timestamp") >= since
    };
    Ok(pool.messages.records(wanted).into())
}

fn message_by_uuid(pool: &mut Pool, arguments: &Arguments) -> Answered {
    let uuid = arguments.text(0);
    let found = pool.messages.iter().find(|message| text(&message.record, "uuid") == uuid);
    let found = found.map(|message| message.reference.clone());
    found
        .map(|reference| Value::String(reference).into())
        .ok_or_else(|| failures::uuid_invalid("message", uuid))
}

fn text<'r>(record: &'r Struct, field: &str) -> &'r str {
    record.get(field).and_then(Value::as_str).unwrap_or_default()
}
