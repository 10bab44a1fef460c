//! Hosts: taken out of service and back, emptied, switched off and on, lost.

mod evacuation;
mod power;
mod rules;
mod settings;

use smol_str::SmolStr;
use xapi::NULL_REF;
use xapi::codec::Failure;

use crate::methods::Entry;
use crate::pool::Pool;
pub(crate) use power::BOOTING;

/// Methods of hosts.
pub(crate) const METHODS: &[Entry] = &[
    ("host", "enable", power::enable),
    ("host", "disable", power::disable),
    ("host", "evacuate", evacuation::evacuate),
    ("host", "assert_can_evacuate", evacuation::assert_can_evacuate),
    ("host", "get_vms_which_prevent_evacuation", evacuation::preventing),
    ("host", "get_uncooperative_resident_VMs", evacuation::uncooperative),
    ("host", "reboot", power::reboot),
    ("host", "shutdown", power::shutdown),
    ("host", "power_on", power::power_on),
    ("host", "restart_agent", power::restart_agent),
    ("host", "declare_dead", power::declare_dead),
    ("host", "destroy", power::destroy),
    ("host", "set_power_on_mode", settings::set_power_on_mode),
    ("host", "set_hostname_live", settings::set_hostname),
    ("host", "compute_free_memory", settings::compute_free_memory),
    ("host", "compute_memory_overhead", settings::compute_memory_overhead),
    ("host", "get_management_interface", settings::management_interface),
    ("host", "get_servertime", settings::time),
    ("host", "get_server_localtime", settings::time),
];

/// What may be done with a host now.
pub(crate) fn allowed(pool: &Pool, host: &str) -> Vec<&'static str> {
    rules::allowed(&pool.host_facts(host))
}

/// Refuses what the host's state does not allow.
fn assert_host(pool: &Pool, host: &str, word: &str) -> Result<(), Failure> {
    pool.known("host", host)?;
    rules::refusal(&pool.host_facts(host), word).map_or(Ok(()), Err)
}

impl Pool {
    /// Whether the pool believes that a host lives. Old databases may lack the metrics; then nothing speaks against.
    pub(crate) fn is_live(&self, host: &str) -> bool {
        let metrics = self.database.text("host", host, "metrics");
        self.database.row("host_metrics", metrics).is_none()
            || self.database.truth("host_metrics", metrics, "live")
    }

    /// Refuses when nothing can be asked of a host: it is known to be dead, or it does not answer.
    pub(crate) fn assert_live(&self, host: &str) -> Result<(), Failure> {
        if !self.is_live(host) {
            return Err(Failure::new("HOST_OFFLINE", [host]));
        }
        if self.dark_hosts.contains(host) {
            return Err(Failure::new("CANNOT_CONTACT_HOST", [host]));
        }
        Ok(())
    }

    /// The VMs on a host that are not its own.
    pub(crate) fn guests(&self, host: &str) -> Vec<SmolStr> {
        let mut guests = self.database.words("host", host, "resident_VMs");
        guests.retain(|vm| !self.database.truth("VM", vm, "is_control_domain"));
        guests
    }

    fn host_facts(&self, host: &str) -> rules::Facts {
        rules::Facts {
            host: host.into(),
            enabled: self.database.truth("host", host, "enabled"),
            live: self.is_live(host),
            power_on_mode: self.database.text("host", host, "power_on_mode").into(),
            current: self.current("host", host),
        }
    }

    /// Whether this is the host that leads the pool.
    pub(crate) fn is_coordinator(&self, host: &str) -> bool {
        host != NULL_REF && self.coordinator() == host
    }
}
