//! Cards that speak with a VLAN's tag, on top of others.

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use crate::arguments::Arguments;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// `VLAN.create`.
pub(super) fn create(pool: &mut Pool, a: &Arguments) -> Answered {
    let (vlan, _) = pool.add_vlan(a.text(0), a.int(1), a.text(2))?;
    Ok(Value::String(vlan).into())
}

/// `PIF.create_VLAN`: by the name of the card, on one host.
pub(super) fn create_on_host(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = a.text(2);
    pool.known("host", host)?;
    let below = pool.card_named(host, a.text(0)).ok_or_else(missing)?;
    let (_, pif) = pool.add_vlan(&below, a.int(3), a.text(1))?;
    Ok(Value::String(pif).into())
}

/// `pool.create_VLAN`: by the name of the card, on every host.
pub(super) fn create_everywhere(pool: &mut Pool, a: &Arguments) -> Answered {
    everywhere(pool, a.text(0), a.text(1), a.int(2))
}

/// `pool.create_VLAN_from_PIF`: on every host's card like this one.
pub(super) fn create_everywhere_like(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("PIF", a.text(0))?;
    if pool.database.text("PIF", a.text(0), "VLAN_master_of") != NULL_REF {
        return Err(Failure::new("PIF_IS_VLAN", [a.text(0)]));
    }
    let device = SmolStr::new(pool.database.text("PIF", a.text(0), "device"));
    everywhere(pool, &device, a.text(1), a.int(2))
}

/// `VLAN.destroy`.
pub(super) fn destroy(pool: &mut Pool, a: &Arguments) -> Answered {
    let vlan = a.text(0);
    pool.known("VLAN", vlan)?;
    let pif = SmolStr::new(pool.database.text("VLAN", vlan, "untagged_PIF"));
    remove(pool, &pif)
}

/// `PIF.destroy`: for cards with a tag only.
pub(super) fn destroy_card(pool: &mut Pool, a: &Arguments) -> Answered {
    let pif = SmolStr::new(a.text(0));
    pool.known("PIF", &pif)?;
    if pool.database.text("PIF", &pif, "VLAN_master_of") == NULL_REF {
        return Err(Failure::new("PIF_IS_PHYSICAL", [pif]));
    }
    remove(pool, &pif)
}

fn everywhere(pool: &mut Pool, device: &str, network: &str, tag: i64) -> Answered {
    let hosts: Vec<SmolStr> =
        pool.database.table("host").map(|table| table.rows.keys().cloned().collect()).unwrap_or_default();
    let cards: Vec<SmolStr> = hosts.iter().filter_map(|host| pool.card_named(host, device)).collect();
    if cards.is_empty() {
        return Err(missing());
    }
    // All or none.
    for card in &cards {
        pool.assert_vlan(card, tag, network)?;
    }
    let mut made = Vec::new();
    for card in cards {
        made.push(Value::String(pool.add_vlan(&card, tag, network)?.1));
    }
    Ok(Value::Array(made).into())
}

fn remove(pool: &mut Pool, pif: &SmolStr) -> Answered {
    if pool.database.truth("PIF", pif, "management") {
        return Err(Failure::new("PIF_IS_MANAGEMENT_INTERFACE", [pif.as_str()]));
    }
    pool.card_in_use(pif).map_or(Ok(()), Err)?;
    pool.remove_pif(pif);
    Ok(Value::VOID.into())
}

fn missing() -> Failure {
    Failure::new::<SmolStr>("PIF_DEVICE_NOT_FOUND", [])
}

impl Pool {
    /// The untagged card of that name on a host.
    fn card_named(&self, host: &str, device: &str) -> Option<SmolStr> {
        let pifs = self.database.words("host", host, "PIFs");
        pifs.into_iter().find(|pif| {
            self.database.text("PIF", pif, "device") == device && self.database.int("PIF", pif, "VLAN") < 0
        })
    }

    fn assert_vlan(&self, below: &str, tag: i64, network: &str) -> Result<(), Failure> {
        self.known("PIF", below)?;
        self.known("network", network)?;
        if !(0..4096).contains(&tag) {
            return Err(Failure::new("VLAN_TAG_INVALID", [format_smolstr!("{tag}")]));
        }
        if self.database.text("PIF", below, "VLAN_master_of") != NULL_REF {
            return Err(Failure::new("PIF_IS_VLAN", [below]));
        }
        if self.database.text("PIF", below, "bond_slave_of") != NULL_REF {
            return Err(Failure::new("CANNOT_ADD_VLAN_TO_BOND_SLAVE", [below]));
        }
        let vlans = self.database.words("PIF", below, "VLAN_slave_of");
        if let Some(vlan) = vlans.iter().find(|vlan| self.database.int("VLAN", vlan, "tag") == tag) {
            let there = self.database.text("VLAN", vlan, "untagged_PIF");
            return Err(Failure::new("PIF_VLAN_EXISTS", [there]));
        }
        self.assert_unconnected(network, self.database.text("PIF", below, "host"))
    }

    /// Puts a card with a tag on top of another. Gives the VLAN and the new card.
    fn add_vlan(&mut self, below: &str, tag: i64, network: &str) -> Result<(SmolStr, SmolStr), Failure> {
        self.assert_vlan(below, tag, network)?;
        let vlan = self.random.reference();
        let mut fields: Vec<(&str, Value)> = ["device", "host", "MAC", "MTU"]
            .into_iter()
            .filter_map(|field| self.database.value("PIF", below, field).map(|value| (field, value.clone())))
            .collect();
        fields.push(("VLAN", tag.into()));
        fields.push(("network", network.into()));
        fields.push(("VLAN_master_of", Value::String(vlan.clone())));
        let attached = self.database.truth("PIF", below, "currently_attached");
        fields.push(("currently_attached", attached.into()));
        let metrics = self.database.text("PIF", below, "metrics");
        let speed = self.database.int("PIF_metrics", metrics, "speed");
        let pif = self.add_pif(fields, speed);
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("tagged_PIF", below.into()),
            ("untagged_PIF", Value::String(pif.clone())),
            ("tag", tag.into()),
        ];
        self.database.create("VLAN", &vlan, fields);
        Ok((vlan, pif))
    }
}
