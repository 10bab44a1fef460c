//! A host's network cards.

use std::net::Ipv4Addr;

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use super::entry;
use crate::arguments::Arguments;
use crate::devices::is_mac;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

pub(super) fn plug(pool: &mut Pool, a: &Arguments) -> Answered {
    let pif = SmolStr::new(a.text(0));
    assert_managed(pool, &pif)?;
    if pool.database.text("PIF", &pif, "bond_slave_of") != NULL_REF {
        return Err(Failure::new("CANNOT_PLUG_BOND_SLAVE", [pif]));
    }
    if pool.database.truth("PIF", &pif, "currently_attached") {
        return Ok(Value::VOID.into());
    }
    pool.assert_live(pool.database.text("PIF", &pif, "host"))?;
    Ok(Operation::lasting(2.0, move |pool: &mut Pool| {
        pool.known("PIF", &pif)?;
        // A tagged card comes up with the one below it.
        let vlan = SmolStr::new(pool.database.text("PIF", &pif, "VLAN_master_of"));
        let below = SmolStr::new(pool.database.text("VLAN", &vlan, "tagged_PIF"));
        pool.database.write("PIF", &below, "currently_attached", true);
        pool.database.write("PIF", &pif, "currently_attached", true);
        Ok(Value::VOID)
    })
    .into())
}

pub(super) fn unplug(pool: &mut Pool, a: &Arguments) -> Answered {
    let pif = SmolStr::new(a.text(0));
    assert_managed(pool, &pif)?;
    if !pool.database.truth("PIF", &pif, "currently_attached") {
        return Ok(Value::VOID.into());
    }
    assert_pulled(pool, &pif)?;
    Ok(Operation::lasting(1.0, move |pool: &mut Pool| {
        pool.known("PIF", &pif)?;
        assert_pulled(pool, &pif)?;
        pool.database.write("PIF", &pif, "currently_attached", false);
        Ok(Value::VOID)
    })
    .into())
}

/// `PIF.scan`: all cards that a made-up host has are known.
pub(super) fn scan(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("host", a.text(0))?;
    pool.assert_live(a.text(0))?;
    Ok(Operation::lasting(2.0, |_: &mut Pool| Ok(Value::VOID)).into())
}

pub(super) fn introduce(pool: &mut Pool, a: &Arguments) -> Answered {
    let (host, mac, device) = (SmolStr::new(a.text(0)), a.text(1).to_ascii_lowercase(), a.text(2));
    pool.known("host", &host)?;
    if !is_mac(&mac) {
        return Err(Failure::new("MAC_INVALID", [mac]));
    }
    let there = pool.database.words("host", &host, "PIFs");
    let physical = || there.iter().filter(|pif| pool.database.truth("PIF", pif, "physical"));
    if physical().any(|pif| pool.database.text("PIF", pif, "MAC").eq_ignore_ascii_case(&mac)) {
        return Err(Failure::new("MAC_STILL_EXISTS", [mac]));
    }
    if physical().any(|pif| pool.database.text("PIF", pif, "device") == device) {
        return Err(Failure::new("DEVICE_ALREADY_EXISTS", [device]));
    }
    let bridge = format_smolstr!("xenbr{}", device.trim_start_matches(|letter: char| letter.is_alphabetic()));
    let network = pool.network_of_bridge(&bridge, device);
    let fields = vec![
        ("device", device.into()),
        ("MAC", mac.into()),
        ("MTU", 1500i64.into()),
        ("VLAN", (-1i64).into()),
        ("physical", true.into()),
        ("host", Value::String(host)),
        ("network", Value::String(network)),
        ("managed", a.values.get(3).and_then(Value::as_bool).unwrap_or(true).into()),
    ];
    let pif = pool.add_pif(fields, 1000);
    Ok(Value::String(pif).into())
}

pub(super) fn forget(pool: &mut Pool, a: &Arguments) -> Answered {
    let pif = a.text(0);
    pool.known("PIF", pif)?;
    let one = |code: &'static str| Err(Failure::new(code, [pif]));
    if !pool.database.truth("PIF", pif, "physical") {
        return one("PIF_IS_NOT_PHYSICAL");
    }
    if pool.database.text("PIF", pif, "bond_slave_of") != NULL_REF {
        return one("PIF_ALREADY_BONDED");
    }
    if pool.database.truth("PIF", pif, "management") {
        return one("PIF_IS_MANAGEMENT_INTERFACE");
    }
    if !pool.database.words("PIF", pif, "VLAN_slave_of").is_empty() {
        return one("PIF_VLAN_STILL_EXISTS");
    }
    if !pool.database.words("PIF", pif, "tunnel_transport_PIF_of").is_empty() {
        return one("PIF_TUNNEL_STILL_EXISTS");
    }
    pool.card_in_use(pif).map_or(Ok(()), Err)?;
    pool.remove_pif(&SmolStr::new(pif));
    Ok(Value::VOID.into())
}

pub(super) fn reconfigure_ip(pool: &mut Pool, a: &Arguments) -> Answered {
    let (pif, mode) = (SmolStr::new(a.text(0)), SmolStr::new(a.text(1)));
    assert_managed(pool, &pif)?;
    if pool.database.text("PIF", &pif, "bond_slave_of") != NULL_REF {
        return Err(Failure::new("CANNOT_PLUG_BOND_SLAVE", [pif]));
    }
    if mode == "None" && pool.database.truth("PIF", &pif, "management") {
        return Err(Failure::new("PIF_IS_MANAGEMENT_INTERFACE", [pif]));
    }
    if mode == "Static" {
        for (index, name) in [(2, "IP"), (3, "netmask")] {
            if a.text(index).parse::<Ipv4Addr>().is_err() {
                return Err(Failure::new("INVALID_IP_ADDRESS_SPECIFIED", [name]));
            }
        }
        if !a.text(4).is_empty() && a.text(4).parse::<Ipv4Addr>().is_err() {
            return Err(Failure::new("INVALID_IP_ADDRESS_SPECIFIED", ["gateway"]));
        }
    }
    let a = a.clone();
    Ok(Operation::lasting(3.0, move |pool: &mut Pool| {
        pool.known("PIF", &pif)?;
        let leased = pool.random.below(200) + 20;
        let (address, netmask, gateway) = match mode.as_str() {
            "Static" => (a.text(2).into(), a.text(3).into(), a.text(4).into()),
            "DHCP" => {
                (format_smolstr!("10.22.0.{leased}"), "255.255.255.0".into(), SmolStr::new("10.22.0.1"))
            }
            _ => (SmolStr::default(), SmolStr::default(), SmolStr::default()),
        };
        pool.database.write("PIF", &pif, "ip_configuration_mode", Value::String(mode));
        pool.database.write("PIF", &pif, "IP", Value::String(address.clone()));
        pool.database.write("PIF", &pif, "netmask", Value::String(netmask));
        pool.database.write("PIF", &pif, "gateway", Value::String(gateway));
        pool.database.write("PIF", &pif, "DNS", a.value(5));
        if pool.database.truth("PIF", &pif, "management") {
            let host = SmolStr::new(pool.database.text("PIF", &pif, "host"));
            pool.database.write("host", &host, "address", Value::String(address));
        }
        Ok(Value::VOID)
    })
    .into())
}

pub(super) fn set_disallow_unplug(pool: &mut Pool, a: &Arguments) -> Answered {
    assert_managed(pool, a.text(0))?;
    pool.database.write("PIF", a.text(0), "disallow_unplug", a.truth(1));
    Ok(Value::VOID.into())
}

fn assert_managed(pool: &Pool, pif: &str) -> Result<(), Failure> {
    pool.known("PIF", pif)?;
    if pool.database.truth("PIF", pif, "managed") {
        Ok(())
    } else {
        Err(Failure::new("PIF_UNMANAGED", [pif]))
    }
}

/// Refuses to pull a card that somebody needs.
fn assert_pulled(pool: &Pool, pif: &str) -> Result<(), Failure> {
    if pool.database.truth("PIF", pif, "management") {
        return Err(Failure::new("PIF_IS_MANAGEMENT_INTERFACE", [pif]));
    }
    if pool.database.truth("PIF", pif, "disallow_unplug") {
        return Err(Failure::new("PIF_DOES_NOT_ALLOW_UNPLUG", [pif]));
    }
    let master = pool.database.words("PIF", pif, "VLAN_slave_of").into_iter().find(|vlan| {
        let above = pool.database.text("VLAN", vlan, "untagged_PIF");
        pool.database.truth("PIF", above, "currently_attached")
    });
    if master.is_some() {
        return Err(failures::not_allowed("a VLAN on this card is in use"));
    }
    pool.card_in_use(pif).map_or(Ok(()), Err)
}

impl Pool {
    /// The network that cards of this name are on in every host, made where there is none.
    fn network_of_bridge(&mut self, bridge: &str, device: &str) -> SmolStr {
        let found = self.database.table("network").and_then(|table| table.with("bridge", bridge).next());
        if let Some(found) = found {
            return found.clone();
        }
        let network = self.random.reference();
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("name_label", format_smolstr!("Pool-wide network associated with {device}").into()),
            ("bridge", bridge.into()),
            ("other_config", Value::Struct(entry("automatic", "true"))),
        ];
        self.database.create("network", &network, fields);
        network
    }
}
