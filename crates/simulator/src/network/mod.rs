//! Networks and the cards of hosts that are on them: plain, with a VLAN's tag, or several as one.

mod bonds;
mod cards;
mod vlans;

use std::collections::HashSet;

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{Struct, Value};

use crate::arguments::Arguments;
use crate::failures;
use crate::methods::Entry;
use crate::pool::Pool;
use crate::tasks::Outcome;

/// Methods of networks, PIFs, VLANs and bonds.
pub(crate) const METHODS: &[Entry] = &[
    ("network", "create", create),
    ("network", "destroy", destroy),
    ("PIF", "plug", cards::plug),
    ("PIF", "unplug", cards::unplug),
    ("PIF", "scan", cards::scan),
    ("PIF", "introduce", cards::introduce),
    ("PIF", "forget", cards::forget),
    ("PIF", "reconfigure_ip", cards::reconfigure_ip),
    ("PIF", "set_disallow_unplug", cards::set_disallow_unplug),
    ("PIF", "create_VLAN", vlans::create_on_host),
    ("PIF", "destroy", vlans::destroy_card),
    ("VLAN", "create", vlans::create),
    ("VLAN", "destroy", vlans::destroy),
    ("pool", "create_VLAN", vlans::create_everywhere),
    ("pool", "create_VLAN_from_PIF", vlans::create_everywhere_like),
    ("Bond", "create", bonds::create),
    ("Bond", "destroy", bonds::destroy),
    ("Bond", "set_mode", bonds::set_mode),
];

/// Fields of a new network that are taken from the record.
const GIVEN: &[&str] = &["name_label", "name_description", "MTU", "other_config", "tags", "managed"];

/// A network of its own, without any card yet.
fn create(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    let Value::Struct(given) = a.value(0) else {
        return Err(failures::ill_typed("a record", "args"));
    };
    let asked = given.get("bridge").and_then(Value::as_str).unwrap_or_default();
    let used: HashSet<&str> = pool
        .database
        .table("network")
        .map_or_else(HashSet::new, |table| table.texts("bridge").map(|(_, bridge)| bridge).collect());
    if !asked.is_empty() && used.contains(asked) {
        return Err(failures::invalid_value("bridge", asked));
    }
    let bridge = if asked.is_empty() {
        let mut number = 0usize;
        while used.contains(format!("xapi{number}").as_str()) {
            number += 1;
        }
        format_smolstr!("xapi{number}")
    } else {
        asked.into()
    };
    let mut fields: Vec<(&str, Value)> =
        GIVEN.iter().filter_map(|field| given.get(field).map(|value| (*field, value.clone()))).collect();
    fields.push(("uuid", Value::String(pool.random.uuid())));
    fields.push(("bridge", Value::String(bridge)));
    let network = pool.random.reference();
    pool.database.create("network", &network, fields);
    Ok(Value::String(network).into())
}

fn destroy(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    let network = a.text(0);
    pool.known("network", network)?;
    let vifs = pool.database.words("network", network, "VIFs");
    if !vifs.is_empty() {
        return Err(Failure::new("NETWORK_CONTAINS_VIF", vifs));
    }
    let pifs = pool.database.words("network", network, "PIFs");
    if !pifs.is_empty() {
        return Err(Failure::new("NETWORK_CONTAINS_PIF", pifs));
    }
    let mark = pool.map_text("network", network, "other_config", "is_host_internal_management_network");
    if mark == "true" {
        return Err(Failure::new("CANNOT_DESTROY_SYSTEM_NETWORK", [network]));
    }
    pool.database.delete("network", network);
    Ok(Value::VOID.into())
}

impl Pool {
    /// A card of a VM that is in use on a host's card, if any.
    fn card_in_use(&self, pif: &str) -> Option<Failure> {
        let network = self.database.text("PIF", pif, "network");
        let host = self.database.text("PIF", pif, "host");
        let vifs = self.database.words("network", network, "VIFs");
        let used = vifs.iter().find(|vif| {
            let vm = self.database.text("VIF", vif, "VM");
            self.database.truth("VIF", vif, "currently_attached")
                && self.database.text("VM", vm, "resident_on") == host
        })?;
        Some(Failure::new("VIF_IN_USE", [network, used.as_str()]))
    }

    /// Refuses a network that already has a card of this host.
    fn assert_unconnected(&self, network: &str, host: &str) -> Result<(), Failure> {
        let pifs = self.database.words("network", network, "PIFs");
        match pifs.iter().find(|pif| self.database.text("PIF", pif, "host") == host) {
            Some(pif) => Err(Failure::new("NETWORK_ALREADY_CONNECTED", [host, pif.as_str()])),
            None => Ok(()),
        }
    }

    /// Adds a host's card with what is measured on it.
    pub(crate) fn add_pif(&mut self, mut fields: Vec<(&str, Value)>, speed: i64) -> SmolStr {
        let metrics = self.random.reference();
        let measured = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("carrier", true.into()),
            ("duplex", true.into()),
            ("speed", speed.into()),
            ("last_updated", self.clock.date()),
        ];
        self.database.create("PIF_metrics", &metrics, measured);
        fields.push(("uuid", Value::String(self.random.uuid())));
        fields.push(("metrics", Value::String(metrics)));
        let pif = self.random.reference();
        self.database.create("PIF", &pif, fields);
        pif
    }

    /// Takes a host's card away, with the VLANs and bonds that it is part of.
    pub(crate) fn remove_pif(&mut self, pif: &str) {
        for vlan in self.database.words("PIF", pif, "VLAN_slave_of") {
            let tagged = SmolStr::new(self.database.text("VLAN", &vlan, "untagged_PIF"));
            self.database.delete("VLAN", &vlan);
            self.drop_card(&tagged);
        }
        let vlan = SmolStr::new(self.database.text("PIF", pif, "VLAN_master_of"));
        self.database.delete("VLAN", &vlan);
        for bond in self.database.words("PIF", pif, "bond_master_of") {
            self.database.delete("Bond", &bond);
        }
        self.drop_card(pif);
    }

    fn drop_card(&mut self, pif: &str) {
        let metrics = SmolStr::new(self.database.text("PIF", pif, "metrics"));
        self.database.delete("PIF_metrics", &metrics);
        self.database.delete("PIF", pif);
    }
}

/// A map of one entry.
fn entry(key: &'static str, value: &str) -> Struct {
    [(SmolStr::new_static(key), Value::from(value))].into_iter().collect()
}
