//! Whatever is done to a pool, in whatever order: what must always hold, holds. Time is made up, so that a run of a
//! seed is the same on every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use smol_str::SmolStr;
use xapi::model::schema;
use xapi::{NULL_REF, Struct, Value};

use crate::arguments::Arguments;
use crate::catalog::{self, End};
use crate::clock::Moment;
use crate::dispatch::Handler;
use crate::options::Options;
use crate::pool::Pool;
use crate::random::Random;
use crate::tasks::Origin;
use crate::{builtin, operation, state_db};

#[path = "../../../../tests/skipped.rs"]
mod skipped;

/// What is done to objects, and the word by which `allowed_operations` names it; none for what it does not name.
const DEEDS: &[(&str, &str, Option<&str>)] = &[
    ("VM", "start", Some("start")),
    ("VM", "start", Some("start")),
    ("VM", "start_on", Some("start_on")),
    ("VM", "clean_shutdown", Some("clean_shutdown")),
    ("VM", "hard_shutdown", Some("hard_shutdown")),
    ("VM", "clean_reboot", Some("clean_reboot")),
    ("VM", "hard_reboot", Some("hard_reboot")),
    ("VM", "suspend", Some("suspend")),
    ("VM", "resume", Some("resume")),
    ("VM", "resume_on", Some("resume_on")),
    ("VM", "pause", Some("pause")),
    ("VM", "unpause", Some("unpause")),
    ("VM", "pool_migrate", Some("pool_migrate")),
    ("VM", "clone", Some("clone")),
    ("VM", "copy", Some("copy")),
    ("VM", "snapshot", Some("snapshot")),
    ("VM", "checkpoint", Some("checkpoint")),
    ("VM", "revert", Some("revert")),
    ("VM", "provision", Some("provision")),
    ("VM", "destroy", Some("destroy")),
    ("VM", "power_state_reset", None),
    ("VM", "set_memory_dynamic_range", None),
    ("VBD", "plug", Some("plug")),
    ("VBD", "unplug", Some("unplug")),
    ("VBD", "insert", Some("insert")),
    ("VBD", "eject", Some("eject")),
    ("VBD", "create", None),
    ("VBD", "destroy", None),
    ("VIF", "plug", Some("plug")),
    ("VIF", "unplug", Some("unplug")),
    ("VIF", "create", None),
    ("VIF", "destroy", None),
    ("VDI", "create", None),
    ("VDI", "destroy", Some("destroy")),
    ("VDI", "resize", Some("resize")),
    ("VDI", "snapshot", Some("snapshot")),
    ("VDI", "clone", Some("clone")),
    ("VDI", "copy", Some("copy")),
    ("VDI", "pool_migrate", None),
    ("SR", "scan", Some("scan")),
    ("SR", "create", None),
    ("SR", "destroy", Some("destroy")),
    ("PBD", "plug", None),
    ("PBD", "unplug", None),
    ("host", "disable", None),
    ("host", "enable", None),
    ("host", "enable", None),
    ("host", "evacuate", Some("evacuate")),
    ("host", "reboot", Some("reboot")),
    ("host", "shutdown", Some("shutdown")),
    ("pool", "enable_ha", None),
    ("pool", "disable_ha", None),
];

/// Errors that speak of the state of the object that they name.
const OF_STATE: &[&str] = &[
    "VM_BAD_POWER_STATE",
    "OTHER_OPERATION_IN_PROGRESS",
    "VM_IS_TEMPLATE",
    "VM_IS_SNAPSHOT",
    "VM_LACKS_FEATURE",
    "ONLY_PROVISION_TEMPLATE",
    "ONLY_REVERT_SNAPSHOT",
    "DEVICE_ALREADY_ATTACHED",
    "DEVICE_ALREADY_DETACHED",
    "VBD_IS_EMPTY",
    "VBD_NOT_EMPTY",
    "VDI_IN_USE",
    "SR_HAS_PBD",
    "HOST_NOT_DISABLED",
];

/// References that must lead to a row.
const OWNED: &[(&str, &str, &str, bool)] = &[
    ("VBD", "VM", "VM", false),
    ("VBD", "VDI", "VDI", true),
    ("VIF", "VM", "VM", false),
    ("VIF", "network", "network", false),
    ("VDI", "SR", "SR", false),
    ("PBD", "SR", "SR", false),
    ("PBD", "host", "host", false),
    ("console", "VM", "VM", false),
    ("VM", "metrics", "VM_metrics", false),
    ("VM", "guest_metrics", "VM_guest_metrics", true),
    ("VM", "suspend_VDI", "VDI", true),
    ("PIF", "host", "host", false),
    ("PIF", "network", "network", false),
    ("PIF", "metrics", "PIF_metrics", false),
];

/// Rows that somebody must point at.
const NEEDED: &[(&str, &str, &str)] = &[
    ("VM_metrics", "VM", "metrics"),
    ("VM_guest_metrics", "VM", "guest_metrics"),
    ("host_metrics", "host", "metrics"),
    ("PIF_metrics", "PIF", "metrics"),
];

/// A pool, and the dice.
struct Play {
    pool: Pool,
    dice: Random,
    now: Moment,
    /// What each SR holds beside its disks: the made-up pool's fillings.
    filling: BTreeMap<SmolStr, i64>,
    log: Vec<String>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let options = Options { seed, ..Options::default() };
        let pool = builtin::pool(options, jiff::Timestamp::UNIX_EPOCH);
        let mut play = Play::of(pool, seed);
        for sr in play.all("SR") {
            play.filling.insert(sr.clone(), play.beside(&sr));
        }
        play
    }

    fn of(pool: Pool, seed: u64) -> Self {
        Play { pool, dice: Random::new(seed), now: Moment::ZERO, filling: BTreeMap::new(), log: Vec::new() }
    }

    fn all(&self, class: &str) -> Vec<SmolStr> {
        self.pool.database.table(class).unwrap().rows.keys().cloned().collect()
    }

    fn any(&mut self, class: &str) -> SmolStr {
        let all = self.all(class);
        if all.is_empty() { SmolStr::new_static(NULL_REF) } else { all[self.dice.below(all.len())].clone() }
    }

    /// What an SR's account holds that no disk does.
    fn beside(&self, sr: &str) -> i64 {
        let disks = self.pool.database.words("SR", sr, "VDIs");
        let held: i64 =
            disks.iter().map(|vdi| self.pool.database.int("VDI", vdi, "physical_utilisation")).sum();
        self.pool.database.int("SR", sr, "physical_utilisation") - held
    }

    /// Lets so much time pass, step by step.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.pool.schedule.next_at().filter(|at| *at <= until) {
            self.pool.advance(at);
        }
        self.now = until;
        self.pool.advance(until);
    }

    /// Does one thing at random, and compares the answer with what was said to be allowed.
    fn act(&mut self) {
        match self.dice.below(60) {
            0 => return self.cancel_one(),
            1 => {
                let host = self.any("host");
                self.log.push(format!("crash {host}"));
                // The coordinator, and a host that is off, do not crash.
                _ = self.pool.crash_host(&host);
                return self.pool.keep_allowed();
            }
            2 => {
                let host = self.any("host");
                self.log.push(format!("boot {host}"));
                self.pool.host_up(&host);
                return self.pool.keep_allowed();
            }
            3 => {
                self.log.push("a VM crashes".into());
                self.pool.crash_one();
                return self.pool.keep_allowed();
            }
            _ => {}
        }
        let (class, method, word) = DEEDS[self.dice.below(DEEDS.len())];
        let object = self.any(class);
        let values = self.arguments(class, method, &object);
        let allowed = self.pool.database.words(class, &object, "allowed_operations");
        self.log.push(format!("{class}.{method} {values:?} allowed {allowed:?}"));
        let declared = schema::class(class).unwrap();
        let handler = Handler::of(declared, declared.method(method).unwrap());
        let arguments = Arguments { session: SmolStr::default(), task: None, values };
        let task = self.pool.start_now(method, handler, arguments, &Origin::default());
        self.pool.keep_allowed();
        let error = self.pool.database.words("task", &task, "error_info");
        self.log.push(format!("  {error:?}"));
        let Some(word) = word else { return };
        let told = allowed.iter().any(|known| known == word);
        assert!(told || !error.is_empty(), "{class}.{method} was not allowed and began: {}", self.story());
        let about_it =
            error.first().is_some_and(|code| OF_STATE.contains(&code.as_str())) && error.contains(&object);
        assert!(!(told && about_it), "{class}.{method} was allowed and refused: {}", self.story());
    }

    fn cancel_one(&mut self) {
        let task = self.any("task");
        self.log.push(format!("cancel {task}"));
        _ = self.pool.cancel_task("", &task);
        self.pool.keep_allowed();
    }

    fn arguments(&mut self, class: &str, method: &str, object: &SmolStr) -> Vec<Value> {
        let own = Value::String(object.clone());
        let host = Value::String(self.any("host"));
        let sr = Value::String(self.any("SR"));
        let no = || Value::Bool(false);
        match (class, method) {
            ("VM", "start" | "resume") => vec![own, no(), no()],
            ("VM", "start_on" | "resume_on") => vec![own, host, no(), no()],
            ("VM", "pool_migrate") => vec![own, host, Value::Struct(Struct::new())],
            ("VM", "clone" | "snapshot" | "checkpoint") => vec![own, "copy".into()],
            ("VM", "copy") => vec![own, "copy".into(), sr],
            ("VM", "set_memory_dynamic_range") => {
                let most = self.pool.database.int("VM", object, "memory_static_max");
                vec![own, (most / 4).into(), (most / 2).into()]
            }
            ("VBD", "insert") => vec![own, Value::String(self.any("VDI"))],
            ("VBD", "create") => {
                let disk = self.dice.below(4) > 0;
                let record = [
                    ("VM", Value::String(self.any("VM"))),
                    ("VDI", if disk { Value::String(self.any("VDI")) } else { NULL_REF.into() }),
                    ("userdevice", "autodetect".into()),
                    ("type", if disk { "Disk" } else { "CD" }.into()),
                    ("mode", if disk { "RW" } else { "RO" }.into()),
                    ("empty", (!disk).into()),
                ];
                vec![record_of(&record)]
            }
            ("VIF", "create") => {
                let record = [
                    ("VM", Value::String(self.any("VM"))),
                    ("network", Value::String(self.any("network"))),
                    ("device", "autodetect".into()),
                ];
                vec![record_of(&record)]
            }
            ("VDI", "create") => {
                let size = i64::try_from(self.dice.below(64)).unwrap() << 30;
                vec![record_of(&[("SR", sr), ("virtual_size", size.into()), ("type", "user".into())])]
            }
            ("VDI", "resize") => {
                let size = self.pool.database.int("VDI", object, "virtual_size");
                vec![own, (size + (1 << 30)).into()]
            }
            ("VDI", "copy") => vec![own, sr],
            ("VDI", "pool_migrate") => vec![own, sr, Value::Struct(Struct::new())],
            ("SR", "create") => {
                let config = record_of(&[("device", "/dev/sdb".into())]);
                let (kind, size) = ("ext".into(), (1i64 << 40).into());
                vec![host, config, size, "new".into(), "".into(), kind, "user".into(), no(), empty()]
            }
            ("pool", "enable_ha") => vec![Value::Array(Vec::new()), empty()],
            ("pool", "disable_ha") => Vec::new(),
            _ => vec![own],
        }
    }

    /// What holds at every moment.
    fn check(&mut self) {
        self.check_relations();
        self.check_machines();
        self.check_memory();
        self.check_lists();
        for sr in self.all("SR") {
            let before = self.filling.get(&sr).copied().unwrap_or_default();
            assert_eq!(self.beside(&sr), before, "the account of {sr} is wrong: {}", self.story());
        }
    }

    fn check_relations(&self) {
        let database = &self.pool.database;
        for table in database.tables() {
            assert!(table.is_ordered(), "{} is out of order: {}", table.entry.class.name, self.story());
            for (reference, row) in &table.rows {
                for (position, end) in table.entry.ends.iter().enumerate() {
                    let (place, both) = match end {
                        End::Free | End::Follows => continue,
                        End::Points(place) => (place, false),
                        End::Shares(place) => (place, true),
                    };
                    let over_there = &catalog::entries()[place.table];
                    let back = over_there.class.fields[place.field].name;
                    let targets = match &row.values[position] {
                        Value::String(target) => vec![target.clone()],
                        Value::Array(targets) => {
                            targets.iter().filter_map(Value::as_str).map(SmolStr::new).collect()
                        }
                        _ => Vec::new(),
                    };
                    for target in targets {
                        if database.row(over_there.class.name, &target).is_some() {
                            let listed = database.words(over_there.class.name, &target, back);
                            assert!(
                                listed.contains(reference),
                                "{reference} {both} {target}: {}",
                                self.story()
                            );
                        }
                    }
                }
                for (field, end) in table.entry.class.fields.iter().zip(&table.entry.ends) {
                    if *end == End::Follows {
                        let class = match &field.kind {
                            schema::Type::Set(schema::Type::Ref(class)) => class,
                            other => panic!("{other:?}"),
                        };
                        for member in database.words(table.entry.class.name, reference, field.name) {
                            assert!(
                                database.row(class, &member).is_some(),
                                "{}.{} lists {member}, which is gone: {}",
                                table.entry.class.name,
                                field.name,
                                self.story()
                            );
                        }
                    }
                }
            }
        }
        for (class, field, target, may_be_null) in OWNED {
            for row in self.all(class) {
                let reference = database.text(class, &row, field);
                let null = reference == NULL_REF || reference.is_empty();
                assert!(
                    if null { *may_be_null } else { database.row(target, reference).is_some() },
                    "{class}.{field} of {row} is {reference:?}: {}",
                    self.story()
                );
            }
        }
        for (class, owner, field) in NEEDED {
            let owners = self.all(owner);
            let used: BTreeSet<&str> = owners.iter().map(|row| database.text(owner, row, field)).collect();
            for row in self.all(class) {
                assert!(used.contains(row.as_str()), "nobody has {class} {row}: {}", self.story());
            }
        }
    }

    fn check_machines(&self) {
        let database = &self.pool.database;
        for vm in self.all("VM") {
            let state = database.text("VM", &vm, "power_state");
            let alive = ["Running", "Paused"].contains(&state);
            let host = database.text("VM", &vm, "resident_on");
            assert_eq!(
                database.row("host", host).is_some(),
                alive,
                "{vm} {state} on {host}: {}",
                self.story()
            );
            assert_eq!(database.int("VM", &vm, "domid") >= 0, alive, "{vm} {state}: {}", self.story());
            let asleep = database.text("VM", &vm, "suspend_VDI") != NULL_REF;
            assert!(!asleep || state == "Suspended", "{vm} {state}: {}", self.story());
            for (class, field) in [("VBD", "VBDs"), ("VIF", "VIFs")] {
                for device in database.words("VM", &vm, field) {
                    let attached = database.truth(class, &device, "currently_attached");
                    assert!(alive || !attached, "{device} of {vm}, {state}: {}", self.story());
                }
            }
            let spoken = database.text("VM", &vm, "guest_metrics") != NULL_REF;
            assert!(alive || !spoken, "{vm} speaks while {state}: {}", self.story());
        }
    }

    fn check_memory(&self) {
        let database = &self.pool.database;
        for host in self.all("host") {
            let metrics = database.text("host", &host, "metrics");
            let int = |field| database.int("host_metrics", metrics, field);
            let held: i64 = database
                .words("host", &host, "resident_VMs")
                .iter()
                .map(|vm| database.int("VM_metrics", database.text("VM", vm, "metrics"), "memory_actual"))
                .sum();
            assert!(int("memory_free") >= 0);
            assert_eq!(int("memory_free") + held, int("memory_total"), "{host}: {}", self.story());
        }
    }

    /// Every list is what the rules say now, and names tasks that are under way.
    fn check_lists(&mut self) {
        let before = self.pool.database.generation();
        self.pool.judge_all();
        assert_eq!(self.pool.database.generation(), before, "a list was not true: {}", self.story());
        for (class, _) in operation::allowed::LOOKED_AT {
            for row in self.all(class) {
                for (task, word) in self.pool.current(class, &row) {
                    let status = self.pool.database.text("task", &task, "status");
                    assert_eq!(status, "pending", "{class} {row} is held by {word}: {}", self.story());
                }
            }
        }
    }

    /// What holds when nothing is under way.
    fn check_quiet(&mut self) {
        self.check();
        for (class, _) in operation::allowed::LOOKED_AT {
            for row in self.all(class) {
                assert_eq!(self.pool.current(class, &row), [], "{class} {row} is busy: {}", self.story());
            }
        }
        for vm in self.all("VM") {
            let kept = self.pool.database.text("VM", &vm, "scheduled_to_be_resident_on");
            assert!([NULL_REF, ""].contains(&kept), "{vm} is kept a place: {}", self.story());
        }
    }

    /// The last that was done.
    fn story(&self) -> String {
        self.log[self.log.len().saturating_sub(24)..].join("\n")
    }
}

fn empty() -> Value {
    Value::Struct(Struct::new())
}

fn record_of(members: &[(&'static str, Value)]) -> Value {
    Value::Struct(members.iter().map(|(name, value)| (SmolStr::new_static(name), value.clone())).collect())
}

#[test]
fn saved_pools_bear_whatever_is_done() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/pools");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return skipped::skipped(&format!("there is no {}", folder.display()));
    };
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let (database, _) = state_db::load(&bytes).unwrap();
        let pool = Pool::new(database, Random::new(7), Options::default(), jiff::Timestamp::UNIX_EPOCH);
        let mut play = Play::of(pool, 7);
        // What the file says is served as it stands; from here on the lists are ours.
        play.pool.judge_all();
        for _ in 0..60 {
            play.act();
            let seconds = u64::try_from(play.dice.below(5)).unwrap();
            play.pass(seconds);
        }
        play.check_lists();
        play.pass(2000);
        play.check_lists();
    }
}

#[test]
fn a_load_leaves_the_pool_sound() {
    let mut play = Play::new(11);
    let load = play.pool.begin_churn(20.0);
    for _ in 0..30 {
        play.pass(2);
        play.log = play.pool.log.from(0).into_iter().map(|happening| happening.what).collect();
        play.check();
    }
    assert_eq!(play.pool.end_churn(load), Some((1200, 0)));
    play.pass(2000);
    play.check_quiet();
}

#[test]
fn a_pool_of_any_size_is_sound() {
    for (hosts, vms) in [(1, 0), (3, 70), (20, 9)] {
        let size = builtin::Size { hosts, vms };
        let made = || builtin::pool_of(size, Options::default(), jiff::Timestamp::UNIX_EPOCH);
        let mut play = Play::of(made(), 1);
        for sr in play.all("SR") {
            play.filling.insert(sr.clone(), play.beside(&sr));
        }
        play.check();
        let plain = play.all("VM").into_iter().filter(|vm| {
            !["is_a_template", "is_control_domain"]
                .iter()
                .any(|flag| play.pool.database.truth("VM", vm, flag))
        });
        assert_eq!((play.all("host").len(), plain.count()), (hosts, vms));
        // The same seed gives the same pool.
        assert_eq!(state_db::dump(&made().database), state_db::dump(&play.pool.database));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_pool_stays_sound(seed in any::<u64>(), deeds in 1usize..120) {
        let mut play = Play::new(seed);
        play.check();
        for _ in 0..deeds {
            play.act();
            if play.dice.below(3) == 0 {
                let seconds = u64::try_from(play.dice.below(15)).unwrap();
                play.pass(seconds);
            }
            play.check();
        }
        play.pass(2000);
        play.check_quiet();
    }
}
