//! What a joining host brings along, row by row, as xapi's own join copies it: the host, its cards on the pool's networks,
//! its local storage with all disks, its VMs, templates and snapshots. Default templates and networks that the pool has
//! are not made twice.

use smol_str::SmolStr;
use xapi::{NULL_REF, Struct, Value};

use super::transplant::Transplant;
use crate::database::Database;
use crate::pool::Pool;

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

/// Rows on their way from the joining host's database into the pool's.
pub(super) struct Carrying<'c> {
    pool: &'c mut Pool,
    joiner: &'c Database,
    /// What has become of them.
    pub(super) rows: Transplant,
}

impl<'c> Carrying<'c> {
    pub(super) fn new(pool: &'c mut Pool, joiner: &'c Database, rows: Transplant) -> Self {
        Carrying { pool, joiner, rows }
    }

    /// One row, and its reference in the pool.
    pub(super) fn put(
        &mut self,
        class: &'static str,
        here: &str,
        otherwise: Vec<(&'static str, Value)>,
    ) -> SmolStr {
        let Pool { database, random, .. } = &mut *self.pool;
        self.rows.put(self.joiner, database, random, (class, here), otherwise)
    }

    /// The host as one that is known and not there yet.
    pub(super) fn host(&mut self, here: &SmolStr) -> SmolStr {
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
    pub(super) fn storage(&mut self) {
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
    pub(super) fn cards(&mut self, here: &SmolStr) {
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
    pub(super) fn machines(&mut self) {
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

    /// A machine with its disks and cards.
    pub(super) fn machine(&mut self, here: &SmolStr, mut otherwise: Vec<(&'static str, Value)>) {
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

/// All rows of a class.
pub(super) fn rows(database: &Database, class: &str) -> Vec<SmolStr> {
    rows_with(database, class, |_| true)
}

/// Rows of a class for which a condition holds.
pub(super) fn rows_with(database: &Database, class: &str, wanted: impl Fn(&SmolStr) -> bool) -> Vec<SmolStr> {
    let rows = database.table(class).into_iter().flat_map(|table| table.rows.keys());
    rows.filter(|row| wanted(row)).cloned().collect()
}
