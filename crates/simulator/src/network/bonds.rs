//! Several cards of a host as one.

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use crate::arguments::Arguments;
use crate::devices::is_mac;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// What the one card takes over from its first member, and gives back.
const ADDRESSES: &[&str] = &["ip_configuration_mode", "IP", "netmask", "gateway", "DNS", "management"];

pub(super) fn create(pool: &mut Pool, a: &Arguments) -> Answered {
    let network = SmolStr::new(a.text(0));
    let members: Vec<SmolStr> = a
        .values
        .get(1)
        .and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .map(SmolStr::new)
        .collect();
    pool.known("network", &network)?;
    let mac = SmolStr::new(a.text(2));
    if !mac.is_empty() && !is_mac(&mac) {
        return Err(Failure::new("MAC_INVALID", [mac]));
    }
    let host = assert_members(pool, &members, &network)?;
    let a = a.clone();
    Ok(Operation::lasting(5.0, move |pool: &mut Pool| {
        pool.known("network", &network)?;
        assert_members(pool, &members, &network)?;
        let bond = pool.add_bond(&network, &host, &members, mac);
        if let Some(mode) = a.values.get(3) {
            pool.database.write("Bond", &bond, "mode", mode.clone());
        }
        if let Some(properties) = a.values.get(4) {
            pool.database.write("Bond", &bond, "properties", properties.clone());
        }
        Ok(Value::String(bond))
    })
    .into())
}

pub(super) fn destroy(pool: &mut Pool, a: &Arguments) -> Answered {
    let bond = SmolStr::new(a.text(0));
    pool.known("Bond", &bond)?;
    let master = SmolStr::new(pool.database.text("Bond", &bond, "master"));
    if !pool.database.words("PIF", &master, "VLAN_slave_of").is_empty() {
        return Err(Failure::new("PIF_VLAN_STILL_EXISTS", [master]));
    }
    pool.card_in_use(&master).map_or(Ok(()), Err)?;
    Ok(Operation::lasting(5.0, move |pool: &mut Pool| {
        pool.known("Bond", &bond)?;
        pool.card_in_use(&master).map_or(Ok(()), Err)?;
        pool.remove_bond(&bond);
        Ok(Value::VOID)
    })
    .into())
}

pub(super) fn set_mode(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("Bond", a.text(0))?;
    pool.database.write("Bond", a.text(0), "mode", a.value(1));
    Ok(Value::VOID.into())
}

/// Cards that can become one, and their host.
fn assert_members(pool: &Pool, members: &[SmolStr], network: &str) -> Result<SmolStr, Failure> {
    for pif in members {
        pool.known("PIF", pif)?;
    }
    let [first, _, ..] = members else {
        return Err(Failure::new::<SmolStr>("PIF_BOND_NEEDS_MORE_MEMBERS", []));
    };
    let host = pool.database.text("PIF", first, "host");
    let mut addresses = 0;
    for pif in members {
        let one = |code: &'static str| Err(Failure::new(code, [pif.as_str()]));
        if pool.database.text("PIF", pif, "host") != host {
            return Err(Failure::new::<SmolStr>("PIF_CANNOT_BOND_CROSS_HOST", []));
        }
        if pool.database.text("PIF", pif, "bond_slave_of") != NULL_REF {
            return one("PIF_ALREADY_BONDED");
        }
        if pool.database.text("PIF", pif, "VLAN_master_of") != NULL_REF {
            return one("PIF_IS_VLAN");
        }
        if !pool.database.truth("PIF", pif, "managed") {
            return one("PIF_UNMANAGED");
        }
        addresses += usize::from(pool.database.text("PIF", pif, "ip_configuration_mode") != "None");
    }
    if addresses > 1 {
        return Err(Failure::new::<SmolStr>("PIF_BOND_MORE_THAN_ONE_IP", []));
    }
    let management = members.iter().any(|pif| pool.database.truth("PIF", pif, "management"));
    if management && pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE", []));
    }
    pool.assert_unconnected(network, host)?;
    Ok(host.into())
}

impl Pool {
    fn add_bond(&mut self, network: &SmolStr, host: &SmolStr, members: &[SmolStr], mac: SmolStr) -> SmolStr {
        let cards = self.database.words("host", host, "PIFs");
        let names: Vec<&str> = cards.iter().map(|pif| self.database.text("PIF", pif, "device")).collect();
        let mut number = 0usize;
        while names.contains(&format!("bond{number}").as_str()) {
            number += 1;
        }
        // The member with an address leads.
        let with_address = |pif: &&SmolStr| self.database.text("PIF", pif, "ip_configuration_mode") != "None";
        let primary = members.iter().find(with_address).or(members.first()).cloned().unwrap_or_default();
        let own = SmolStr::new(self.database.text("PIF", &primary, "MAC"));
        let mut fields: Vec<(&str, Value)> = ADDRESSES
            .iter()
            .filter_map(|field| {
                self.database.value("PIF", &primary, field).map(|value| (*field, value.clone()))
            })
            .collect();
        fields.extend([
            ("device", format_smolstr!("bond{number}").into()),
            ("MAC", Value::String(if mac.is_empty() { own } else { mac })),
            ("MTU", 1500i64.into()),
            ("VLAN", (-1i64).into()),
            ("host", Value::String(host.clone())),
            ("network", Value::String(network.clone())),
            ("currently_attached", true.into()),
        ]);
        let metrics = self.database.text("PIF", &primary, "metrics");
        let speed = self.database.int("PIF_metrics", metrics, "speed");
        let master = self.add_pif(fields, speed);
        let bond = self.random.reference();
        let links = i64::try_from(members.len()).unwrap_or(i64::MAX);
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("master", Value::String(master)),
            ("primary_slave", Value::String(primary)),
            ("links_up", links.into()),
            ("auto_update_mac", true.into()),
        ];
        self.database.create("Bond", &bond, fields);
        for member in members {
            self.database.write("PIF", member, "bond_slave_of", Value::String(bond.clone()));
            self.database.write("PIF", member, "currently_attached", false);
            self.clear_addresses(member);
        }
        bond
    }

    fn remove_bond(&mut self, bond: &str) {
        let master = SmolStr::new(self.database.text("Bond", bond, "master"));
        let primary = SmolStr::new(self.database.text("Bond", bond, "primary_slave"));
        for member in self.database.words("Bond", bond, "slaves") {
            self.database.write("PIF", &member, "bond_slave_of", NULL_REF);
        }
        for field in ADDRESSES {
            if let Some(value) = self.database.value("PIF", &master, field).cloned() {
                self.database.write("PIF", &primary, field, value);
            }
        }
        let attached = self.database.truth("PIF", &master, "currently_attached");
        self.database.write("PIF", &primary, "currently_attached", attached);
        self.remove_pif(&master);
        self.database.delete("Bond", bond);
    }

    fn clear_addresses(&mut self, pif: &str) {
        self.database.write("PIF", pif, "ip_configuration_mode", "None");
        for field in ["IP", "netmask", "gateway", "DNS"] {
            self.database.write("PIF", pif, field, "");
        }
        self.database.write("PIF", pif, "management", false);
    }
}
