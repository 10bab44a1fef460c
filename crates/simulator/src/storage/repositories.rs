//! SRs are made, found, read anew, forgotten and destroyed.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{Struct, Value};

use super::{assert_repository, plugs};
use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// The size of an SR whose maker did not say any, in bytes.
const SIZE: i64 = 1 << 40;

/// `SR.create`: made on one host, and plugged there; a shared one on all hosts.
pub(super) fn create(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = SmolStr::new(a.text(0));
    pool.known("host", &host)?;
    let kind = SmolStr::new(a.text(5));
    assert_driver(pool, &kind)?;
    let config = a.value(1).as_struct().cloned().unwrap_or_default();
    let a = a.clone();
    let operation = Operation::lasting(8.0, move |pool: &mut Pool| {
        pool.known("host", &host)?;
        plugs::attach(&kind, &config)?;
        let shared = a.truth(7);
        let size = if a.int(2) > 0 { a.int(2) } else { SIZE };
        let sr = pool.random.reference();
        let uuid = pool.random.uuid();
        let fields = vec![
            ("uuid", Value::String(uuid)),
            ("name_label", a.value(3)),
            ("name_description", a.value(4)),
            ("type", Value::String(kind)),
            ("content_type", a.value(6)),
            ("shared", shared.into()),
            ("sm_config", Value::Struct(a.value(8).as_struct().cloned().unwrap_or_default())),
            ("physical_size", size.into()),
        ];
        pool.database.create("SR", &sr, fields);
        let hosts: Vec<SmolStr> = match pool.database.table("host") {
            Some(table) if shared => table.rows.keys().cloned().collect(),
            _ => vec![host],
        };
        for host in hosts {
            let live = pool.is_live(&host);
            pool.add_pbd(&sr, &host, &config, live);
        }
        Ok(Value::String(sr))
    });
    Ok(operation.into())
}

/// `SR.introduce`: what lies somewhere already gets a record; plugs come by hand.
pub(super) fn introduce(pool: &mut Pool, a: &Arguments) -> Answered {
    let (uuid, kind) = (a.text(0), a.text(3));
    assert_driver(pool, kind)?;
    if uuid::Uuid::try_parse(uuid).is_err() {
        return Err(failures::uuid_invalid("SR", uuid));
    }
    if pool.database.by_uuid("SR", uuid).is_some() {
        return Err(Failure::new("SR_UUID_EXISTS", [uuid]));
    }
    let fields = vec![
        ("uuid", a.value(0)),
        ("name_label", a.value(1)),
        ("name_description", a.value(2)),
        ("type", a.value(3)),
        ("content_type", a.value(4)),
        ("shared", a.value(5)),
        ("sm_config", Value::Struct(a.value(6).as_struct().cloned().unwrap_or_default())),
        ("physical_size", SIZE.into()),
    ];
    let sr = pool.random.reference();
    pool.database.create("SR", &sr, fields);
    Ok(Value::String(sr).into())
}

/// `SR.scan`: everything that lies there is known already; it takes its time and needs a plug.
pub(super) fn scan(pool: &mut Pool, a: &Arguments) -> Answered {
    let sr = SmolStr::new(a.text(0));
    assert_repository(pool, &sr, "scan")?;
    pool.assert_plugged(&sr)?;
    let scanned = sr.clone();
    let operation = Operation::lasting(2.0, move |pool: &mut Pool| {
        pool.assert_plugged(&scanned)?;
        Ok(Value::VOID)
    });
    Ok(operation.on("SR", &sr, "scan").into())
}

pub(super) fn update(pool: &mut Pool, a: &Arguments) -> Answered {
    let sr = SmolStr::new(a.text(0));
    assert_repository(pool, &sr, "update")?;
    pool.assert_plugged(&sr)?;
    Ok(Operation::lasting(0.5, |_: &mut Pool| Ok(Value::VOID)).on("SR", &sr, "update").into())
}

/// `SR.forget`: the records go, the content stays.
pub(super) fn forget(pool: &mut Pool, a: &Arguments) -> Answered {
    remove(pool, a, "forget", 1.0)
}

/// `SR.destroy`: an empty SR goes for good.
pub(super) fn destroy(pool: &mut Pool, a: &Arguments) -> Answered {
    remove(pool, a, "destroy", 5.0)
}

pub(super) fn supported_types(pool: &mut Pool, _: &Arguments) -> Answered {
    let drivers = pool.database.table("SM").into_iter().flat_map(|table| table.rows.keys());
    let mut kinds: Vec<&str> = drivers.map(|driver| pool.database.text("SM", driver, "type")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Value::Array(kinds.into_iter().map(Value::from).collect()).into())
}

pub(super) fn set_shared(pool: &mut Pool, a: &Arguments) -> Answered {
    let (sr, shared) = (a.text(0), a.truth(1));
    pool.known("SR", sr)?;
    let pbds = pool.database.words("SR", sr, "PBDs");
    if !shared && pbds.len() > 1 {
        return Err(Failure::new("SR_HAS_MULTIPLE_PBDS", pbds));
    }
    pool.database.write("SR", sr, "shared", shared);
    Ok(Value::VOID.into())
}

pub(super) fn set_physical_size(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("SR", a.text(0))?;
    pool.database.write("SR", a.text(0), "physical_size", a.int(1));
    Ok(Value::VOID.into())
}

pub(super) fn assert_can_host_statefile(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.assert_statefile(a.text(0)).map(|()| Value::VOID.into())
}

fn remove(pool: &mut Pool, a: &Arguments, word: &'static str, seconds: f64) -> Answered {
    let sr = SmolStr::new(a.text(0));
    assert_repository(pool, &sr, word)?;
    let gone = sr.clone();
    let operation = Operation::lasting(seconds, move |pool: &mut Pool| {
        pool.known("SR", &gone)?;
        for vdi in pool.database.words("SR", &gone, "VDIs") {
            pool.remove_vdi(&vdi);
        }
        for pbd in pool.database.words("SR", &gone, "PBDs") {
            pool.database.delete("PBD", &pbd);
        }
        pool.database.delete("SR", &gone);
        Ok(Value::VOID)
    });
    Ok(operation.on("SR", &sr, word).into())
}

fn assert_driver(pool: &Pool, kind: &str) -> Result<(), Failure> {
    let known = pool.database.table("SM").is_some_and(|table| table.with("type", kind).next().is_some());
    if known { Ok(()) } else { Err(Failure::new("SR_UNKNOWN_DRIVER", [kind])) }
}

impl Pool {
    /// Refuses an SR that cannot hold what HA writes: not shared, not reached by every host, or too small.
    pub(crate) fn assert_statefile(&self, sr: &str) -> Result<(), Failure> {
        /// What HA's state and the redo log take.
        const STATEFILE: i64 = 260 << 20;
        self.assert_plugged(sr)?;
        if !self.database.truth("SR", sr, "shared") {
            return Err(Failure::new("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [sr]));
        }
        let hosts = self.database.table("host").into_iter().flat_map(|table| table.rows.keys());
        for host in hosts {
            if !self.reaches(host, sr) {
                return Err(Failure::new("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [sr]));
            }
        }
        self.assert_room(sr, STATEFILE)
    }

    /// Joins an SR to a host.
    pub(crate) fn add_pbd(
        &mut self,
        sr: &SmolStr,
        host: &SmolStr,
        config: &Struct,
        attached: bool,
    ) -> SmolStr {
        let pbd = self.random.reference();
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("SR", Value::String(sr.clone())),
            ("host", Value::String(host.clone())),
            ("device_config", Value::Struct(config.clone())),
            ("currently_attached", attached.into()),
        ];
        self.database.create("PBD", &pbd, fields);
        pbd
    }
}
