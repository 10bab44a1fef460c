//! The pool that is joined: it takes in what a host hands over, shows the rest of it when the host has come up, and tells
//! it from then on whether it still belongs to the pool.
//!
//! What xapi's own join copies is copied: the host, its cards on the pool's networks, its local storage with all disks, its
//! VMs, templates and snapshots. Default templates and networks that the pool has are not made twice.

use std::collections::HashMap;

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use super::FUSE;
use super::handover::Standing;
use super::transplant::Transplant;
use crate::database::Database;
use crate::failures::{self, bare};
use crate::pool::{Pool, Step};
use crate::toolstack::{Restart, down};

/// Hosts that were taken in, by the secret that each was given.
pub(crate) type Seats = HashMap<SmolStr, Seat>;

/// A host that was taken in, and whose door is its own.
#[derive(Debug)]
pub(crate) struct Seat {
    host: SmolStr,
    ejected: bool,
}

/// Hosts that were taken in and have not come up as members yet.
pub(crate) type Arrivals = HashMap<SmolStr, Arrival>;

/// What a host handed over.
#[derive(Debug)]
pub(crate) struct Arrival {
    joiner: Database,
    /// Its reference there.
    host: SmolStr,
    rows: Transplant,
}

/// Why a host of its own process, or of its own pool, leads nobody.
pub(super) const CANNOT_LEAD: &str =
    "a simulated host that joined by pool.join cannot become the coordinator";

/// What a host says of itself when it is handed over; all else it writes when it comes up.
const HANDED_OVER: &[&str] = &[
    "uuid",
    "name_label",
    "name_description",
    "hostname",
    "address",
    "external_auth_type",
    "external_auth_service_name",
    "external_auth_configuration",
    "license_params",
    "license_server",
    "edition",
    "other_config",
    "chipset_info",
];

/// What the pool knows better.
const OF_THE_POOL: &[&str] = &["uuid", "metrics", "current_operations", "allowed_operations", "enabled"];

/// Classes of what belongs to a host alone, with the host's list of it.
const PARTS: &[(&str, &str)] = &[
    ("host_cpu", "host_CPUs"),
    ("PCI", "PCIs"),
    ("PUSB", "PUSBs"),
    ("Feature", "features"),
    ("Certificate", "certificates"),
];

impl Pool {
    /// Takes a host in with all that it hands over, and gives the secret by which it is known from now on.
    pub(crate) fn take_in(&mut self, joiner: Database) -> Result<SmolStr, Failure> {
        let hosts: Vec<SmolStr> = rows(&joiner, "host");
        let [here] = hosts.as_slice() else {
            return Err(bare("JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS"));
        };
        if self.ha_enabled() {
            return Err(bare("HA_IS_ENABLED"));
        }
        if self.database.by_uuid("host", joiner.text("host", here, "uuid")).is_some() {
            return Err(failures::not_allowed("the pool has a host of this uuid already"));
        }
        let mut carrying = Carrying { pool: self, joiner: &joiner, rows: Transplant::default() };
        let host = carrying.host(here);
        carrying.storage();
        carrying.cards(here);
        carrying.machines();
        let mut rows = carrying.rows;
        rows.settle(&joiner, &mut self.database);
        let at = self.clock.now() + self.clock.lasting(FUSE) + down(&self.clock, Restart::ByItself);
        self.schedule.add(at, Step::Arrive(host.clone()));
        self.arrivals.insert(host.clone(), Arrival { joiner, host: here.clone(), rows });
        // A secret, so it comes from the system's own randomness.
        let secret = format_smolstr!("{}", uuid::Uuid::new_v4());
        self.seats.insert(secret.clone(), Seat { host, ejected: false });
        Ok(secret)
    }

    /// A host that was taken in has come up: it shows what it has, takes VMs, and reaches storage.
    pub(crate) fn arrive(&mut self, host: &SmolStr) {
        let Some(Arrival { joiner, host: here, mut rows }) = self.arrivals.remove(host) else { return };
        if self.database.row("host", host).is_none() {
            return;
        }
        let mut carrying = Carrying { pool: self, joiner: &joiner, rows };
        for (class, list) in PARTS {
            for part in joiner.words("host", &here, list).iter().rev() {
                carrying.put(class, part, vec![]);
            }
        }
        for domain in rows_with(&joiner, "VM", |vm| joiner.truth("VM", vm, "is_control_domain")) {
            carrying.machine(&domain, vec![]);
        }
        rows = carrying.rows;
        rows.settle(&joiner, &mut self.database);
        for (field, value) in rows.fields(&joiner, "host", &here) {
            if !OF_THE_POOL.contains(&field) {
                self.database.write("host", host, field, value);
            }
        }
        for (class, list) in [("PIF", "PIFs"), ("PBD", "PBDs")] {
            for own in joiner.words("host", &here, list) {
                let Some(there) = rows.there(&own) else { continue };
                let attached = joiner.truth(class, &own, "currently_attached");
                self.database.write(class, there, "currently_attached", attached);
            }
        }
        let coordinator = self.coordinator();
        self.join_storage(&coordinator, host);
        self.host_up(host);
    }

    /// A host is ejected: it will be told.
    pub(super) fn unseat(&mut self, host: &str) {
        for seat in self.seats.values_mut().filter(|seat| seat.host == host) {
            seat.ejected = true;
        }
        self.stirs += 1;
    }

    /// Whether a host was taken in, so that its door is its own and the pool's database never comes to it.
    pub(crate) fn lives_elsewhere(&self, host: &str) -> bool {
        self.seats.values().any(|seat| seat.host == host)
    }

    /// Refuses to make a host the coordinator that cannot be one.
    pub(crate) fn assert_can_lead(&self, host: &str) -> Result<(), Failure> {
        if self.lives_elsewhere(host) {
            return Err(failures::not_allowed(CANNOT_LEAD));
        }
        Ok(())
    }

    /// What the host of a secret is to this pool.
    pub(crate) fn standing(&self, secret: &str) -> Standing {
        match self.seats.get(secret) {
            Some(seat) if seat.ejected => Standing::Ejected,
            Some(seat) if self.database.row("host", &seat.host).is_some() => Standing::Member {
                coordinator: self.coordinator_address(),
                live: self.is_live(&seat.host) && !self.dark_hosts.contains(&seat.host),
            },
            _ => Standing::Stranger,
        }
    }
}

/// Rows on their way from the joining host's database into the pool's.
struct Carrying<'c> {
    pool: &'c mut Pool,
    joiner: &'c Database,
    rows: Transplant,
}

impl Carrying<'_> {
    fn put(&mut self, class: &'static str, here: &str, otherwise: Vec<(&'static str, Value)>) -> SmolStr {
        let Pool { database, random, .. } = &mut *self.pool;
        self.rows.put(self.joiner, database, random, (class, here), otherwise)
    }

    /// The host as one that is known and not there yet.
    fn host(&mut self, here: &SmolStr) -> SmolStr {
        let metrics = self.joiner.text("host", here, "metrics").to_owned();
        let metrics = self.put("host_metrics", &metrics, vec![("live", false.into())]);
        let mut fields: Vec<(&'static str, Value)> = self.rows.fields(self.joiner, "host", here);
        fields.retain(|(field, _)| HANDED_OVER.contains(field));
        fields.extend([("metrics", Value::String(metrics)), ("enabled", false.into())]);
        let there = self.pool.random.reference();
        self.pool.database.create("host", &there, fields);
        self.rows.know(here, there.clone());
        there
    }

    /// Local storage with all disks. What xapi keeps in every pool, such as its tools, is the pool's own.
    fn storage(&mut self) {
        let joiner = self.joiner;
        for sr in rows_with(joiner, "SR", |sr| !joiner.truth("SR", sr, "shared")) {
            self.put("SR", &sr, vec![("current_operations", nothing())]);
            for pbd in joiner.words("SR", &sr, "PBDs") {
                self.put("PBD", &pbd, vec![("currently_attached", false.into())]);
            }
            for vdi in joiner.words("SR", &sr, "VDIs") {
                self.put("VDI", &vdi, vec![("current_operations", nothing())]);
            }
        }
    }

    /// Physical cards, each on the pool's network of the same bridge; other networks are looked for by name.
    fn cards(&mut self, here: &SmolStr) {
        let joiner = self.joiner;
        let pifs = joiner.words("host", here, "PIFs");
        let pifs: Vec<&SmolStr> =
            pifs.iter().rev().filter(|pif| joiner.truth("PIF", pif, "physical")).collect();
        for pif in &pifs {
            let network = joiner.text("PIF", pif, "network").to_owned();
            self.network(&network, "bridge");
        }
        for network in rows(joiner, "network") {
            self.network(&network, "name_label");
        }
        for pif in pifs {
            let metrics = joiner.text("PIF", pif, "metrics").to_owned();
            self.put("PIF_metrics", &metrics, vec![]);
            self.put("PIF", pif, vec![("currently_attached", false.into())]);
        }
    }

    fn network(&mut self, here: &str, alike: &str) {
        if self.rows.there(here).is_some() || self.joiner.row("network", here).is_none() {
            return;
        }
        let wanted = self.joiner.text("network", here, alike);
        let table = self.pool.database.table("network");
        match table.and_then(|table| table.with(alike, wanted).next()) {
            Some(there) => self.rows.know(here, there.clone()),
            None => _ = self.put("network", here, vec![("current_operations", nothing())]),
        }
    }

    /// VMs, templates and snapshots, none of which runs. A default template that the pool has is not made twice.
    fn machines(&mut self) {
        let joiner = self.joiner;
        for vm in rows_with(joiner, "VM", |vm| !joiner.truth("VM", vm, "is_control_domain")) {
            let name = joiner.text("VM", &vm, "name_label");
            let known = self.pool.database.table("VM").and_then(|table| {
                table.with("name_label", name).find(|there| is_default(&self.pool.database, there)).cloned()
            });
            match known.filter(|_| is_default(joiner, &vm)) {
                Some(there) => self.rows.know(&vm, there),
                None => self.machine(&vm, vec![("resident_on", NULL_REF.into())]),
            }
        }
    }

    fn machine(&mut self, here: &SmolStr, mut otherwise: Vec<(&'static str, Value)>) {
        let joiner = self.joiner;
        for (class, field) in [("VM_metrics", "metrics"), ("VM_guest_metrics", "guest_metrics")] {
            let metrics = joiner.text("VM", here, field);
            if joiner.row(class, metrics).is_some() {
                self.put(class, metrics, vec![]);
            }
        }
        otherwise.push(("current_operations", nothing()));
        otherwise.push(("scheduled_to_be_resident_on", NULL_REF.into()));
        self.put("VM", here, otherwise);
        for vbd in joiner.words("VM", here, "VBDs").iter().rev() {
            let lost = self.rows.there(joiner.text("VBD", vbd, "VDI")).is_none();
            let mut otherwise = vec![("currently_attached", false.into()), ("current_operations", nothing())];
            if lost {
                otherwise.push(("empty", true.into()));
            }
            self.put("VBD", vbd, otherwise);
        }
        for vif in joiner.words("VM", here, "VIFs").iter().rev() {
            let otherwise = vec![("currently_attached", false.into()), ("current_operations", nothing())];
            self.put("VIF", vif, otherwise);
        }
    }
}

fn nothing() -> Value {
    Value::Struct(Struct::new())
}

fn is_default(database: &Database, vm: &str) -> bool {
    let marked = database.value("VM", vm, "other_config").and_then(Value::as_struct);
    let marked = marked.and_then(|config| config.get("default_template")?.as_str());
    database.truth("VM", vm, "is_default_template") || marked == Some("true")
}

fn rows(database: &Database, class: &str) -> Vec<SmolStr> {
    rows_with(database, class, |_| true)
}

fn rows_with(database: &Database, class: &str, wanted: impl Fn(&SmolStr) -> bool) -> Vec<SmolStr> {
    let rows = database.table(class).into_iter().flat_map(|table| table.rows.keys());
    rows.filter(|row| wanted(row)).cloned().collect()
}
