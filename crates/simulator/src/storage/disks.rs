//! Disks come, change and go.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use super::{assert_disk, assert_repository, space};
use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// Fields of a new disk that are taken from the record.
const GIVEN: &[&str] = &[
    "name_label",
    "name_description",
    "SR",
    "type",
    "sharable",
    "read_only",
    "other_config",
    "xenstore_data",
    "sm_config",
    "tags",
];

pub(super) fn create(pool: &mut Pool, a: &Arguments) -> Answered {
    let Value::Struct(given) = a.value(0) else {
        return Err(failures::ill_typed("a record", "args"));
    };
    let sr = SmolStr::new(given.get("SR").and_then(Value::as_str).unwrap_or(NULL_REF));
    assert_repository(pool, &sr, "vdi_create")?;
    pool.assert_plugged(&sr)?;
    let size = size_of(given.get("virtual_size").and_then(Value::as_int).unwrap_or_default())?;
    pool.assert_room(&sr, size)?;
    let on = sr.clone();
    let operation = Operation::lasting(1.0, move |pool: &mut Pool| {
        pool.assert_plugged(&sr)?;
        pool.assert_room(&sr, size)?;
        let used = pool.first_use(&sr, size);
        let mut fields: Vec<(&str, Value)> =
            GIVEN.iter().filter_map(|field| given.get(field).map(|value| (*field, value.clone()))).collect();
        fields.push(("virtual_size", size.into()));
        fields.push(("physical_utilisation", used.into()));
        let vdi = pool.random.reference();
        pool.add_vdi(&vdi, fields);
        Ok(Value::String(vdi))
    });
    Ok(operation.on("SR", &on, "vdi_create").into())
}

pub(super) fn destroy(pool: &mut Pool, a: &Arguments) -> Answered {
    let vdi = SmolStr::new(a.text(0));
    assert_disk(pool, &vdi, "destroy")?;
    let sr = SmolStr::new(pool.database.text("VDI", &vdi, "SR"));
    assert_repository(pool, &sr, "vdi_destroy")?;
    let gone = vdi.clone();
    let operation = Operation::lasting(1.5, move |pool: &mut Pool| {
        pool.known("VDI", &gone)?;
        pool.remove_vdi(&gone);
        Ok(Value::VOID)
    });
    Ok(operation.on("VDI", &vdi, "destroy").on("SR", &sr, "vdi_destroy").into())
}

pub(super) fn resize(pool: &mut Pool, a: &Arguments, word: &'static str) -> Answered {
    let vdi = SmolStr::new(a.text(0));
    assert_disk(pool, &vdi, word)?;
    let sr = SmolStr::new(pool.database.text("VDI", &vdi, "SR"));
    assert_repository(pool, &sr, "vdi_resize")?;
    let size = size_of(a.int(1))?;
    let before = pool.database.int("VDI", &vdi, "virtual_size");
    if size < before {
        let said = "VDI Invalid size [opterr=shrinking not allowed]";
        return Err(Failure::new("SR_BACKEND_FAILURE_79", ["", said, ""]));
    }
    pool.assert_room(&sr, size.saturating_sub(before))?;
    let grown = vdi.clone();
    let operation = Operation::lasting(1.0, move |pool: &mut Pool| {
        pool.known("VDI", &grown)?;
        pool.resize_vdi(&grown, size);
        Ok(Value::VOID)
    });
    Ok(operation.on("VDI", &vdi, word).on("SR", &sr, "vdi_resize").into())
}

/// The record goes, the disk stays where it is: its room stays taken.
pub(super) fn forget(pool: &mut Pool, a: &Arguments) -> Answered {
    let vdi = a.text(0);
    assert_disk(pool, vdi, "forget")?;
    for vbd in pool.database.words("VDI", vdi, "VBDs") {
        pool.database.delete("VBD", &vbd);
    }
    pool.database.delete("VDI", vdi);
    Ok(Value::VOID.into())
}

/// A disk that lies there already gets a record.
pub(super) fn introduce(pool: &mut Pool, a: &Arguments) -> Answered {
    const NAMES: &[&str] = &[
        "uuid",
        "name_label",
        "name_description",
        "SR",
        "type",
        "sharable",
        "read_only",
        "other_config",
        "location",
        "xenstore_data",
        "sm_config",
        "managed",
        "virtual_size",
        "physical_utilisation",
        "metadata_of_pool",
        "is_a_snapshot",
        "snapshot_time",
        "snapshot_of",
    ];
    let (uuid, sr, location) = (a.text(0), a.text(3), a.text(8));
    assert_repository(pool, sr, "vdi_introduce")?;
    pool.assert_plugged(sr)?;
    if uuid::Uuid::try_parse(uuid).is_err() {
        return Err(failures::uuid_invalid("VDI", uuid));
    }
    let there = pool.database.words("SR", sr, "VDIs");
    if there.iter().any(|vdi| pool.database.text("VDI", vdi, "location") == location) {
        return Err(Failure::new("LOCATION_NOT_UNIQUE", [sr, location]));
    }
    let fields = NAMES.iter().zip(&a.values).map(|(name, value)| (*name, value.clone())).collect();
    let vdi = pool.random.reference();
    pool.database.create("VDI", &vdi, fields);
    Ok(Value::String(vdi).into())
}

pub(super) fn update(pool: &mut Pool, a: &Arguments) -> Answered {
    assert_disk(pool, a.text(0), "update").map(|()| Value::VOID.into())
}

pub(super) fn set_on_boot(pool: &mut Pool, a: &Arguments) -> Answered {
    let vdi = a.text(0);
    assert_disk(pool, vdi, "set_on_boot")?;
    if pool.database.truth("VDI", vdi, "sharable") {
        return Err(Failure::new("VDI_IS_SHARABLE", [vdi]));
    }
    pool.database.write("VDI", vdi, "on_boot", a.value(1));
    Ok(Value::VOID.into())
}

/// A flag that may not change under a drive that is in use.
pub(super) fn set_when_idle(pool: &mut Pool, a: &Arguments, field: &'static str) -> Answered {
    let vdi = a.text(0);
    pool.known("VDI", vdi)?;
    if pool.disk_facts(vdi).attached {
        return Err(Failure::new("VDI_IN_USE", [vdi, field]));
    }
    pool.database.write("VDI", vdi, field, a.value(1));
    Ok(Value::VOID.into())
}

fn size_of(asked: i64) -> Result<i64, Failure> {
    space::rounded(asked).ok_or_else(|| Failure::new("SR_BACKEND_FAILURE_79", ["", "VDI Invalid size", ""]))
}

/// Members of a record that a copy takes over from its original.
pub(super) fn taken_over(original: &Struct) -> Vec<(&str, Value)> {
    GIVEN.iter().filter_map(|field| original.get(field).map(|value| (*field, value.clone()))).collect()
}
