//! The pool that is joined: it takes in what a host hands over, shows the rest of it when the host has come up, and tells
//! it from then on whether it still belongs to the pool.

use std::collections::HashMap;

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;

use super::FUSE;
use super::carrying::{Carrying, rows, rows_with};
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

/// Why a host that keeps its own door leads nobody: the database of its pool never comes to it.
pub(super) const CANNOT_LEAD: &str =
    "a simulated host that joined by pool.join cannot become the coordinator";

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
        let mut carrying = Carrying::new(self, &joiner, Transplant::default());
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
        let mut carrying = Carrying::new(self, &joiner, rows);
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
