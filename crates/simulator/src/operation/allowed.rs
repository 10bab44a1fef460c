//! Keeps `allowed_operations` true: whatever was written, the objects whose rules look at it are judged anew.
//!
//! Nobody calls for this by hand, so nobody forgets it.

use std::collections::BTreeSet;

use smol_str::SmolStr;
use xapi::{NULL_REF, Value};

use crate::database::Change;
use crate::pool::Pool;
use crate::{appliance, devices, host, machine, membership, storage};

/// An object whose list may be another now.
type Stale = BTreeSet<(&'static str, SmolStr)>;

/// Fields that rules look at, by class; a new object and a changed set of others count, too.
pub(crate) const LOOKED_AT: &[(&str, &[&str])] = &[
    (
        "VM",
        &[
            "power_state",
            "current_operations",
            "blocked_operations",
            "is_a_template",
            "is_a_snapshot",
            "is_default_template",
            "is_control_domain",
            "other_config",
            "guest_metrics",
            "domain_type",
            "appliance",
            "snapshot_schedule",
            "attached_PCIs",
            "VBDs",
        ],
    ),
    ("VM_appliance", &["current_operations", "VMs"]),
    (
        "VBD",
        &["VM", "VDI", "empty", "currently_attached", "current_operations", "type", "mode", "unpluggable"],
    ),
    ("VIF", &["VM", "currently_attached", "current_operations"]),
    (
        "VDI",
        &[
            "SR",
            "VBDs",
            "current_operations",
            "managed",
            "missing",
            "sharable",
            "read_only",
            "on_boot",
            "type",
            "cbt_enabled",
        ],
    ),
    ("SR", &["current_operations", "PBDs", "VDIs"]),
    ("PBD", &["currently_attached", "SR"]),
    ("host", &["enabled", "current_operations", "metrics", "power_on_mode"]),
    ("host_metrics", &["live"]),
    ("pool", &["ha_enabled", "current_operations", "master"]),
];

impl Pool {
    /// Judges anew whatever changed since the last time.
    pub(crate) fn keep_allowed(&mut self) {
        let changes = self.database.take_changes();
        if changes.is_empty() {
            return;
        }
        let mut stale = Stale::new();
        for change in &changes {
            self.spread(change, &mut stale);
        }
        for (class, reference) in stale {
            self.judge(class, &reference);
        }
        // What was just written are the lists, which no rule looks at.
        self.database.take_changes();
    }

    /// Judges every object anew, as for a pool that was just made.
    pub(crate) fn judge_all(&mut self) {
        for (class, _) in LOOKED_AT {
            let rows = self.database.table(class).map(|table| table.rows.keys().cloned().collect::<Vec<_>>());
            for reference in rows.unwrap_or_default() {
                self.judge(class, &reference);
            }
        }
        self.database.take_changes();
    }

    /// Writes what may be done with an object now.
    fn judge(&mut self, class: &'static str, reference: &str) {
        if self.database.row(class, reference).is_none() {
            return;
        }
        let words = match class {
            "VM" => machine::allowed(self, reference),
            "VM_appliance" => appliance::allowed(self, reference),
            "VBD" => devices::vbd_allowed(self, reference),
            "VIF" => devices::vif_allowed(self, reference),
            "VDI" => storage::vdi_allowed(self, reference),
            "SR" => storage::sr_allowed(self, reference),
            "host" => host::allowed(self, reference),
            "pool" => membership::allowed(self),
            _ => return,
        };
        let words = words.into_iter().map(Value::from).collect();
        self.database.write(class, reference, "allowed_operations", Value::Array(words));
    }

    /// Adds the objects whose rules look at what changed.
    fn spread(&self, change: &Change, stale: &mut Stale) {
        let Some((class, fields)) = LOOKED_AT.iter().find(|(class, _)| *class == change.class) else {
            return;
        };
        if change.field.is_some_and(|field| !fields.contains(&field)) {
            return;
        }
        let reference = change.reference.as_str();
        let mut add = |class: &'static str, reference: SmolStr| {
            if reference != NULL_REF {
                stale.insert((class, reference));
            }
        };
        let text = |field: &str| SmolStr::new(self.database.text(class, reference, field));
        add(class, change.reference.clone());
        match *class {
            "VM" => {
                for (device, field) in [("VBD", "VBDs"), ("VIF", "VIFs")] {
                    for own in self.database.words("VM", reference, field) {
                        add(device, own);
                    }
                }
                add("VM_appliance", text("appliance"));
            }
            "VBD" => add("VDI", text("VDI")),
            "VDI" => {
                for vbd in self.database.words("VDI", reference, "VBDs") {
                    let vm = SmolStr::new(self.database.text("VBD", &vbd, "VM"));
                    add("VBD", vbd);
                    if change.field == Some("on_boot") {
                        add("VM", vm);
                    }
                }
            }
            "PBD" => {
                let sr = text("SR");
                for vdi in self.database.words("SR", &sr, "VDIs") {
                    add("VDI", vdi);
                }
                add("SR", sr);
            }
            "host_metrics" => {
                let hosts = self.database.table("host");
                for host in hosts.into_iter().flat_map(|table| table.with("metrics", reference)) {
                    add("host", host.clone());
                    // What a dead host alone reached is reached no more.
                    for pbd in self.database.words("host", host, "PBDs") {
                        let sr = SmolStr::new(self.database.text("PBD", &pbd, "SR"));
                        for vdi in self.database.words("SR", &sr, "VDIs") {
                            add("VDI", vdi);
                        }
                        add("SR", sr);
                    }
                }
            }
            _ => {}
        }
    }
}
