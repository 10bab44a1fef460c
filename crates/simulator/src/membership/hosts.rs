//! Hosts come to the pool and leave it.

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

/// Fields that a new host shares with the coordinator: both run the same release.
pub(crate) const ALIKE: &[&str] = &[
    "API_version_major",
    "API_version_minor",
    "API_version_vendor",
    "software_version",
    "capabilities",
    "sched_policy",
    "supported_bootloaders",
    "edition",
    "cpu_info",
    "virtual_hardware_platform_versions",
    "tls_verification_enabled",
    "https_only",
];

/// A host that joins.
#[derive(Debug, Clone)]
pub(crate) struct NewHost {
    pub(crate) name: String,
    pub(crate) address: String,
    /// In bytes; what the control domain takes comes off.
    pub(crate) memory: i64,
}

/// What a new host's control domain takes of its memory, in bytes.
const CONTROL_MEMORY: i64 = 4 << 30;

/// `pool.eject`: a member leaves with its local storage, and becomes a pool of its own: at its door if it has one.
pub(super) fn eject(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    let host = SmolStr::new(a.text(0));
    pool.known("host", &host)?;
    if pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_IS_ENABLED", []));
    }
    if pool.is_coordinator(&host) {
        return Err(failures::not_allowed("the coordinator cannot be ejected"));
    }
    pool.assert_live(&host)?;
    assert_empty(pool, &host)?;
    let row = pool.pool_row();
    if let Some((task, word)) = pool.current("pool", &row).first() {
        return Err(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["pool", &row, word, task]));
    }
    let gone = host;
    let operation = Operation::lasting(10.0, move |pool: &mut Pool| {
        pool.known("host", &gone)?;
        assert_empty(pool, &gone)?;
        pool.unseat(&gone);
        pool.remove_host(&gone);
        Ok(Value::VOID)
    });
    Ok(operation.on("pool", &row, "eject").into())
}

fn assert_empty(pool: &Pool, host: &str) -> Result<(), Failure> {
    let vms = pool.database.table("VM").into_iter().flat_map(|table| table.rows.keys());
    let mut coming = vms.filter(|vm| pool.database.text("VM", vm, "scheduled_to_be_resident_on") == host);
    if pool.guests(host).is_empty() && coming.next().is_none() {
        return Ok(());
    }
    Err(Failure::new("HOST_HAS_RESIDENT_VMS", [host]))
}

impl Pool {
    /// A host has joined: it has the coordinator's release, cards on its networks, and reaches shared storage.
    pub(crate) fn add_host(&mut self, new: &NewHost) -> SmolStr {
        let coordinator = self.coordinator();
        let metrics = self.random.reference();
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("memory_total", new.memory.into()),
            ("memory_free", new.memory.saturating_sub(CONTROL_MEMORY).max(0).into()),
            ("live", true.into()),
            ("last_updated", self.clock.date()),
        ];
        self.database.create("host_metrics", &metrics, fields);
        let mut fields: Vec<(&str, Value)> = ALIKE
            .iter()
            .filter_map(|field| {
                self.database.value("host", &coordinator, field).map(|value| (*field, value.clone()))
            })
            .collect();
        fields.extend([
            ("uuid", Value::String(self.random.uuid())),
            ("name_label", new.name.as_str().into()),
            ("hostname", new.name.as_str().into()),
            ("address", new.address.as_str().into()),
            ("enabled", true.into()),
            ("metrics", Value::String(metrics)),
        ]);
        let host = self.random.reference();
        self.database.create("host", &host, fields);
        self.add_control_domain(&host, &new.name);
        self.add_cards_like(&coordinator, &host, &new.address);
        self.join_storage(&coordinator, &host);
        host
    }

    fn add_control_domain(&mut self, host: &SmolStr, name: &str) {
        let metrics = self.random.reference();
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("memory_actual", CONTROL_MEMORY.into()),
            ("VCPUs_number", 4i64.into()),
            ("start_time", self.clock.date()),
        ];
        self.database.create("VM_metrics", &metrics, fields);
        let domain = self.random.reference();
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("name_label", format_smolstr!("Control domain on host: {name}").into()),
            ("is_control_domain", true.into()),
            ("power_state", "Running".into()),
            ("resident_on", Value::String(host.clone())),
            ("affinity", Value::String(host.clone())),
            ("domid", 0i64.into()),
            ("domain_type", "pv".into()),
            ("memory_target", CONTROL_MEMORY.into()),
            ("memory_static_max", CONTROL_MEMORY.into()),
            ("memory_dynamic_max", CONTROL_MEMORY.into()),
            ("memory_dynamic_min", CONTROL_MEMORY.into()),
            ("VCPUs_max", 4i64.into()),
            ("VCPUs_at_startup", 4i64.into()),
            ("metrics", Value::String(metrics)),
        ];
        self.database.create("VM", &domain, fields);
        self.database.write("host", host, "control_domain", Value::String(domain));
    }

    /// Cards of the same names on the same networks.
    fn add_cards_like(&mut self, coordinator: &str, host: &SmolStr, address: &str) {
        for pif in self.database.words("host", coordinator, "PIFs").iter().rev() {
            if !self.database.truth("PIF", pif, "physical") {
                continue;
            }
            let management = self.database.truth("PIF", pif, "management");
            let mut fields: Vec<(&str, Value)> = ["device", "network", "MTU", "VLAN", "physical", "managed"]
                .into_iter()
                .filter_map(|field| {
                    self.database.value("PIF", pif, field).map(|value| (field, value.clone()))
                })
                .collect();
            let mac = self.random.mac();
            fields.extend([
                ("host", Value::String(host.clone())),
                ("MAC", Value::String(mac)),
                ("currently_attached", true.into()),
                ("management", management.into()),
                ("ip_configuration_mode", if management { "Static" } else { "None" }.into()),
                ("IP", if management { address } else { "" }.into()),
                ("netmask", if management { "255.255.255.0" } else { "" }.into()),
            ]);
            let metrics = self.database.text("PIF", pif, "metrics");
            let speed = self.database.int("PIF_metrics", metrics, "speed");
            self.add_pif(fields, speed);
        }
    }

    /// Shared storage is plugged as the coordinator's is.
    pub(super) fn join_storage(&mut self, coordinator: &str, host: &SmolStr) {
        for pbd in self.database.words("host", coordinator, "PBDs") {
            let sr = SmolStr::new(self.database.text("PBD", &pbd, "SR"));
            if sr != NULL_REF && self.database.truth("SR", &sr, "shared") {
                let config = self.database.value("PBD", &pbd, "device_config").and_then(Value::as_struct);
                let config = config.cloned().unwrap_or_default();
                let attached = self.database.truth("PBD", &pbd, "currently_attached");
                self.add_pbd(&sr, host, &config, attached);
            }
        }
    }
}
