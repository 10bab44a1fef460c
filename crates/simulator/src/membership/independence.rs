//! A host that was ejected: it boots afresh, as a pool of one with nothing but what it is made of.

use smol_str::SmolStr;
use xapi::{Struct, Value};

use super::transplant::Transplant;
use crate::database::Database;
use crate::host::BOOTING;
use crate::messages::Messages;
use crate::pool::{Pool, Step};
use crate::toolstack::{Phase, Toolstack};

/// Classes of what a host is made of: all rows stay, and none of them points to what does not.
const HARDWARE: &[&str] = &["host_metrics", "host_cpu", "PCI", "PUSB", "SM"];

impl Pool {
    /// The host goes down to boot as a pool of its own.
    pub(super) fn go_independent(&mut self) {
        let host = self.coordinator();
        let toolstack = self.toolstacks.entry(host).or_default();
        *toolstack = Toolstack { phase: Phase::Stopped, run: toolstack.run + 1 };
        self.schedule.add(self.clock.now() + self.clock.lasting(BOOTING), Step::StandAlone);
    }

    /// The host has booted afresh: a new pool, with another uuid for everything, whose local storage is empty.
    pub(crate) fn stand_alone(&mut self) {
        let host = self.coordinator();
        self.forget();
        self.database = self.afresh(&host);
        self.messages = Messages::default();
        self.local_sessions.clear();
        self.dormant_guests.clear();
        self.dark_hosts.clear();
        self.trouble.stranded.remove(&host);
        self.seats.clear();
        self.arrivals.clear();
        self.leave_home();
        if let Some(identity) = self.identities.get(&host).cloned() {
            identity.publish(self, &host);
        }
        self.copied = self.database.generation();
        self.judge_all();
        let run = self.toolstacks.get(&host).map(|toolstack| toolstack.run).unwrap_or_default();
        self.next_phase(&host, Toolstack { phase: Phase::Answering, run });
    }

    /// What is left of the database. The host keeps its reference, by which its doors know it.
    fn afresh(&mut self, host: &SmolStr) -> Database {
        let row = self.pool_row();
        let from = &self.database;
        let random = &mut self.random;
        let mut fresh = Database::new();
        let mut rows = Transplant::default();
        let uuid = vec![("uuid", Value::String(random.uuid()))];
        rows.put_as(from, &mut fresh, ("host", host), host, uuid);
        let mut keep = |class: &'static str, here: &str, mut otherwise: Vec<(&'static str, Value)>| {
            otherwise.push(("uuid", Value::String(random.uuid())));
            rows.put(from, &mut fresh, random, (class, here), otherwise);
        };
        for class in HARDWARE {
            from.table(class)
                .into_iter()
                .flat_map(|table| table.rows.keys())
                .for_each(|row| keep(class, row, vec![]));
        }
        let physical: Vec<SmolStr> = from
            .words("host", host, "PIFs")
            .into_iter()
            .rev()
            .filter(|pif| from.truth("PIF", pif, "physical"))
            .collect();
        for pif in &physical {
            keep("network", from.text("PIF", pif, "network"), vec![]);
            keep("PIF_metrics", from.text("PIF", pif, "metrics"), vec![]);
            keep("PIF", pif, vec![]);
        }
        for pbd in from.words("host", host, "PBDs") {
            let sr = from.text("PBD", &pbd, "SR");
            if !from.truth("SR", sr, "shared") {
                let empty = [("physical_utilisation", 0.into()), ("virtual_allocation", 0.into())];
                keep("SR", sr, empty.into());
                keep("PBD", &pbd, vec![("currently_attached", true.into())]);
            }
        }
        let machines = from.table("VM").into_iter().flat_map(|table| table.rows.keys());
        for vm in machines {
            if from.truth("VM", vm, "is_control_domain") || from.truth("VM", vm, "is_default_template") {
                keep("VM_metrics", from.text("VM", vm, "metrics"), vec![]);
                keep("VM", vm, vec![]);
            }
        }
        let nameless = || Value::from("");
        let plain = vec![
            ("name_label", nameless()),
            ("name_description", nameless()),
            ("other_config", Value::Struct(Struct::new())),
            ("tags", Value::Array(Vec::new())),
        ];
        keep("pool", &row, plain);
        rows.settle(from, &mut fresh);
        fresh
    }
}
