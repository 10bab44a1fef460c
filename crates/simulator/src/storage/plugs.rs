//! What joins an SR to a host, and how that fails.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use super::assert_repository;
use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// An entry of `device_config` that makes plugging fail: the number of the storage driver's error.
const FAILS_WITH: &str = "simulated-failure";

/// What a driver must be told, by kind: key, number and text of its error when that is missing.
const NEEDED: &[(&str, &str, u16, &str)] = &[
    ("nfs", "server", 101, "The request is missing the server parameter"),
    ("nfs", "serverpath", 102, "The request is missing the serverpath parameter"),
    ("iso", "location", 100, "The request is missing the location parameter"),
    ("ext", "device", 90, "The request is missing the device parameter"),
    ("lvm", "device", 90, "The request is missing the device parameter"),
    ("lvmoiscsi", "targetIQN", 96, "The request is missing or has an incorrect target IQN parameter"),
    ("lvmoiscsi", "SCSIid", 107, "The SCSIid parameter is missing or incorrect"),
    ("lvmohba", "SCSIid", 107, "The SCSIid parameter is missing or incorrect"),
];

/// What storage drivers say.
const SAID: &[(u16, &str)] = &[
    (44, "There is insufficient space"),
    (46, "The VDI is not available"),
    (47, "The SR is not available"),
    (73, "NFS mount error"),
    (140, "Incorrect DNS name, unable to resolve."),
    (141, "Unable to connect to iSCSI service on target"),
    (222, "Could not mount the directory specified in Device Configuration"),
];

/// What a driver makes of its configuration; pure.
pub(super) fn attach(kind: &str, config: &Struct) -> Result<(), Failure> {
    let given = |key: &str| config.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(number) = given(FAILS_WITH) {
        let said =
            number.parse::<u16>().ok().and_then(|number| SAID.iter().find(|(known, _)| *known == number));
        let said = said.map_or("The storage driver failed", |(_, text)| text);
        return Err(Failure::new(&format!("SR_BACKEND_FAILURE_{number}"), ["", said, ""]));
    }
    match NEEDED.iter().find(|(of, key, _, _)| *of == kind && given(key).is_none()) {
        Some((_, _, number, text)) => {
            Err(Failure::new(&format!("SR_BACKEND_FAILURE_{number}"), ["", *text, ""]))
        }
        None => Ok(()),
    }
}

pub(super) fn create(pool: &mut Pool, a: &Arguments) -> Answered {
    let Value::Struct(given) = a.value(0) else {
        return Err(failures::ill_typed("a record", "args"));
    };
    let text = |field: &str| SmolStr::new(given.get(field).and_then(Value::as_str).unwrap_or(NULL_REF));
    let (sr, host) = (text("SR"), text("host"));
    pool.known("host", &host)?;
    assert_repository(pool, &sr, "pbd_create")?;
    let there = pool.database.words("SR", &sr, "PBDs");
    if let Some(pbd) = there.iter().find(|pbd| pool.database.text("PBD", pbd, "host") == host) {
        return Err(Failure::new("PBD_EXISTS", [&sr, &host, pbd].map(SmolStr::as_str)));
    }
    if !there.is_empty() && !pool.database.truth("SR", &sr, "shared") {
        return Err(Failure::new("SR_NOT_SHARABLE", [sr, host]));
    }
    let config = given.get("device_config").and_then(Value::as_struct).cloned().unwrap_or_default();
    let pbd = pool.add_pbd(&sr, &host, &config, false);
    if let Some(other) = given.get("other_config") {
        pool.database.write("PBD", &pbd, "other_config", other.clone());
    }
    Ok(Value::String(pbd).into())
}

pub(super) fn plug(pool: &mut Pool, a: &Arguments) -> Answered {
    let pbd = SmolStr::new(a.text(0));
    let (sr, host) = of(pool, &pbd)?;
    if pool.database.truth("PBD", &pbd, "currently_attached") {
        return Ok(Value::VOID.into());
    }
    assert_repository(pool, &sr, "plug")?;
    pool.assert_live(&host)?;
    let (plugged, kind) = (pbd.clone(), SmolStr::new(pool.database.text("SR", &sr, "type")));
    let operation = Operation::lasting(3.0, move |pool: &mut Pool| {
        pool.known("PBD", &plugged)?;
        pool.assert_live(&host)?;
        let config = pool.database.value("PBD", &plugged, "device_config").and_then(Value::as_struct);
        attach(&kind, &config.cloned().unwrap_or_default())?;
        pool.database.write("PBD", &plugged, "currently_attached", true);
        Ok(Value::VOID)
    });
    Ok(operation.on("SR", &sr, "plug").into())
}

pub(super) fn unplug(pool: &mut Pool, a: &Arguments) -> Answered {
    let pbd = SmolStr::new(a.text(0));
    let (sr, host) = of(pool, &pbd)?;
    if !pool.database.truth("PBD", &pbd, "currently_attached") {
        return Ok(Value::VOID.into());
    }
    assert_repository(pool, &sr, "unplug")?;
    assert_unused(pool, &sr, &host)?;
    let unplugged = pbd.clone();
    let on = sr.clone();
    let operation = Operation::lasting(2.0, move |pool: &mut Pool| {
        pool.known("PBD", &unplugged)?;
        assert_unused(pool, &sr, &host)?;
        pool.database.write("PBD", &unplugged, "currently_attached", false);
        Ok(Value::VOID)
    });
    Ok(operation.on("SR", &on, "unplug").into())
}

pub(super) fn destroy(pool: &mut Pool, a: &Arguments) -> Answered {
    let pbd = a.text(0);
    let (sr, _) = of(pool, pbd)?;
    if pool.database.truth("PBD", pbd, "currently_attached") {
        let uuid = pool.database.text("PBD", pbd, "uuid");
        return Err(failures::not_allowed(&format!("PBD '{uuid}' still attached")));
    }
    assert_repository(pool, &sr, "pbd_destroy")?;
    pool.database.delete("PBD", pbd);
    Ok(Value::VOID.into())
}

pub(super) fn set_device_config(pool: &mut Pool, a: &Arguments) -> Answered {
    let pbd = a.text(0);
    pool.known("PBD", pbd)?;
    if pool.database.truth("PBD", pbd, "currently_attached") {
        return Err(failures::not_allowed("The PBD is currently attached"));
    }
    pool.database.write("PBD", pbd, "device_config", a.value(1));
    Ok(Value::VOID.into())
}

fn of(pool: &Pool, pbd: &str) -> Result<(SmolStr, SmolStr), Failure> {
    pool.known("PBD", pbd)?;
    let text = |field| SmolStr::new(pool.database.text("PBD", pbd, field));
    Ok((text("SR"), text("host")))
}

/// Refuses when a VM on that host, or on its way there, has a disk on the SR.
fn assert_unused(pool: &Pool, sr: &str, host: &str) -> Result<(), Failure> {
    for vdi in pool.database.words("SR", sr, "VDIs") {
        for vbd in pool.database.words("VDI", &vdi, "VBDs") {
            let vm = pool.database.text("VBD", &vbd, "VM");
            let there = pool.database.text("VM", vm, "resident_on") == host
                && pool.database.truth("VBD", &vbd, "currently_attached");
            if there || pool.database.text("VM", vm, "scheduled_to_be_resident_on") == host {
                return Err(Failure::new("VDI_IN_USE", [vdi.as_str(), "unplug"]));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_say_what_they_miss() {
        let config = |members: &[(&str, &str)]| -> Struct {
            members.iter().map(|(key, value)| (SmolStr::new(key), Value::from(*value))).collect()
        };
        for (kind, members, said) in [
            ("nfs", &[][..], "SR_BACKEND_FAILURE_101 [, The request is missing the server parameter, ]"),
            (
                "nfs",
                &[("server", "a")],
                "SR_BACKEND_FAILURE_102 [, The request is missing the serverpath parameter, ]",
            ),
            ("ext", &[(FAILS_WITH, "47")], "SR_BACKEND_FAILURE_47 [, The SR is not available, ]"),
        ] {
            assert_eq!(attach(kind, &config(members)).unwrap_err().to_string(), said);
        }
        assert!(attach("nfs", &config(&[("server", "a"), ("serverpath", "/b")])).is_ok());
        assert!(attach("unheard-of", &config(&[])).is_ok());
    }
}
