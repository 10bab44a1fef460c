//! Networks, VLANs, bonds and the cards of hosts.

use xapi::Value;

use crate::client::{self, named, record};

/// The card of that name on the first host that has one.
fn card(running: &simulator::Running, device: &str) -> (Value, Value) {
    let pif = running.pool().records("PIF").into_iter().find(|pif| pif.text("device") == device).unwrap();
    (pif.reference.as_str().into(), pif.text("host").into())
}

#[tokio::test]
async fn networks_go_when_nobody_is_on_them() {
    let (running, client) = client::fast().await;
    let network = client.ok("network.create", &[record([("name_label", "new".into())])]).await;
    assert_eq!(client.field("network", &network, "bridge").await, "xapi0".into());
    let vm = client.vm("lab").await;
    let given = record([("VM", vm), ("network", network.clone()), ("device", "1".into())]);
    let vif = client.ok("VIF.create", &[given]).await;
    let refused = client.refused("network.destroy", std::slice::from_ref(&network)).await;
    assert_eq!(refused, format!("NETWORK_CONTAINS_VIF [{}]", vif.as_str().unwrap()));
    client.ok("VIF.destroy", &[vif]).await;
    client.ok("network.destroy", &[network]).await;
    let refused = client.refused("network.destroy", &[named(&running, "network", "Storage")]).await;
    assert!(refused.starts_with("NETWORK_CONTAINS_PIF ["), "{refused}");
}

#[tokio::test]
async fn a_vlan_is_made_on_every_host_and_taken_away() {
    let (running, client) = client::fast().await;
    let network = client.ok("network.create", &[record([("name_label", "tagged".into())])]).await;
    let (pif, _) = card(&running, "eth1");
    let make = |tag: i64| [pif.clone(), network.clone(), tag.into()];
    assert_eq!(client.refused("pool.create_VLAN_from_PIF", &make(5000)).await, "VLAN_TAG_INVALID [5000]");
    let made = client.ok("pool.create_VLAN_from_PIF", &make(12)).await;
    assert_eq!(made.as_array().unwrap().len(), 2);
    let refused = client.refused("VLAN.create", &[pif.clone(), 12i64.into(), network.clone()]).await;
    assert!(refused.starts_with("PIF_VLAN_EXISTS ["), "{refused}");
    let refused = client.refused("VLAN.create", &[pif.clone(), 13i64.into(), network.clone()]).await;
    assert!(refused.starts_with("NETWORK_ALREADY_CONNECTED ["), "{refused}");
    let refused = client.refused("PIF.forget", std::slice::from_ref(&pif)).await;
    assert_eq!(refused, format!("PIF_VLAN_STILL_EXISTS [{}]", pif.as_str().unwrap()));
    let first = made.as_array().unwrap()[0].clone();
    assert_eq!(client.int("PIF", &first, "VLAN").await, 12);
    let refused = client.refused("PIF.destroy", std::slice::from_ref(&pif)).await;
    assert_eq!(refused, format!("PIF_IS_PHYSICAL [{}]", pif.as_str().unwrap()));
    let vlan = client.field("PIF", &first, "VLAN_master_of").await;
    client.ok("VLAN.destroy", &[vlan]).await;
    assert!(client.refused("PIF.get_record", &[first]).await.starts_with("HANDLE_INVALID"));
    client.ok("PIF.destroy", &[made.as_array().unwrap()[1].clone()]).await;
    client.ok("network.destroy", &[network]).await;
}

#[tokio::test]
async fn two_cards_become_one_and_two_again() {
    let (running, client) = client::fast().await;
    let network = client.ok("network.create", &[record([("name_label", "bonded".into())])]).await;
    let (_, host) = card(&running, "eth0");
    let mut cards = Vec::new();
    for (device, mac) in [("eth7", "02:00:00:00:00:07"), ("eth8", "02:00:00:00:00:08")] {
        let arguments = [host.clone(), mac.into(), device.into()];
        cards.push(client.ok("PIF.introduce", &arguments).await);
        assert_eq!(client.refused("PIF.introduce", &arguments).await, format!("MAC_STILL_EXISTS [{mac}]"));
    }
    let bond = |members: &[Value]| [network.clone(), Value::Array(members.to_vec()), "".into()];
    assert_eq!(client.refused("Bond.create", &bond(&cards[..1])).await, "PIF_BOND_NEEDS_MORE_MEMBERS");
    let other =
        running.pool().records("PIF").into_iter().find(|pif| host != pif.text("host").into()).unwrap();
    let across = [cards[0].clone(), other.reference.as_str().into()];
    assert_eq!(client.refused("Bond.create", &bond(&across)).await, "PIF_CANNOT_BOND_CROSS_HOST");
    let made = client.ok("Bond.create", &bond(&cards)).await;
    let master = client.field("Bond", &made, "master").await;
    assert_eq!(client.field("PIF", &master, "device").await, "bond0".into());
    let refused = client.refused("Bond.create", &bond(&cards)).await;
    assert!(refused.starts_with("PIF_ALREADY_BONDED ["), "{refused}");
    let refused = client.refused("PIF.plug", &[cards[0].clone()]).await;
    assert!(refused.starts_with("CANNOT_PLUG_BOND_SLAVE ["), "{refused}");
    client.ok("Bond.destroy", &[made]).await;
    assert!(client.refused("PIF.get_record", &[master]).await.starts_with("HANDLE_INVALID"));
    client.ok("PIF.forget", &[cards[0].clone()]).await;
}

#[tokio::test]
async fn cards_in_use_are_not_pulled() {
    let (running, client) = client::fast().await;
    let (management, _) = card(&running, "eth0");
    let refused = client.refused("PIF.unplug", std::slice::from_ref(&management)).await;
    assert_eq!(refused, format!("PIF_IS_MANAGEMENT_INTERFACE [{}]", management.as_str().unwrap()));
    let (tenants, _) = card(&running, "eth1");
    let refused = client.refused("PIF.unplug", &[tenants]).await;
    assert!(refused.starts_with("VIF_IN_USE ["), "{refused}");
    let (storage, _) = card(&running, "eth2");
    client.ok("PIF.set_disallow_unplug", &[storage.clone(), true.into()]).await;
    let refused = client.refused("PIF.unplug", std::slice::from_ref(&storage)).await;
    assert_eq!(refused, format!("PIF_DOES_NOT_ALLOW_UNPLUG [{}]", storage.as_str().unwrap()));
    client.ok("PIF.set_disallow_unplug", &[storage.clone(), false.into()]).await;
    client.ok("PIF.unplug", std::slice::from_ref(&storage)).await;
    client.ok("PIF.plug", std::slice::from_ref(&storage)).await;
    let configure = |mode: &'static str, address: &'static str| {
        [storage.clone(), mode.into(), address.into(), "255.255.255.0".into(), "".into(), "".into()]
    };
    let refused = client.refused("PIF.reconfigure_ip", &configure("Static", "10.20")).await;
    assert_eq!(refused, "INVALID_IP_ADDRESS_SPECIFIED [IP]");
    client.ok("PIF.reconfigure_ip", &configure("Static", "10.20.2.99")).await;
    assert_eq!(client.field("PIF", &storage, "IP").await, "10.20.2.99".into());
}
