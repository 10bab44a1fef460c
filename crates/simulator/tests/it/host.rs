//! Hosts are emptied, switched off and on, lost and buried.

use simulator::Running;
use xapi::{NULL_REF, Value};

use crate::client::{self, Client, SOON, record};

/// The host that does not lead.
async fn member(running: &Running, client: &Client) -> Value {
    let pool = running.pool().records("pool").remove(0);
    let hosts = client.ok("host.get_all", &[]).await;
    let member = hosts.as_array().unwrap().iter().find(|host| host.as_str() != Some(pool.text("master")));
    member.unwrap().clone()
}

/// Takes from a disabled host what cannot move: VMs on local disks, and those that do not run.
async fn clear(running: &Running, client: &Client, host: &Value) {
    let pool = running.pool();
    for vm in pool.records("VM") {
        if Some(vm.text("resident_on")) != host.as_str() || vm.text("domid") == "0" {
            continue;
        }
        let reference = Value::from(vm.reference.as_str());
        let dom0 = vm.get("is_control_domain") == Some(&true.into());
        let movable = client.ok("VM.get_possible_hosts", std::slice::from_ref(&reference)).await;
        if !dom0 && (movable.as_array().unwrap().is_empty() || vm.text("power_state") == "Paused") {
            client.ok("VM.hard_shutdown", &[reference]).await;
        }
    }
}

#[tokio::test]
async fn a_host_is_emptied_and_rebooted() {
    let (running, client) = client::fast().await;
    let host = member(&running, &client).await;
    // The coordinator alone could not take them all.
    _ = running.pool().join_host("xen-spare", "10.20.0.19", 512 << 30);
    let one = std::slice::from_ref(&host);
    assert_eq!(client.refused("host.reboot", one).await, "HOST_NOT_DISABLED");
    client.ok("host.disable", one).await;
    let refused = client.refused("host.reboot", one).await;
    assert!(refused.starts_with(&format!("HOST_IN_USE [{}, VM, ", host.as_str().unwrap())), "{refused}");
    let refused = client.refused("host.evacuate", one).await;
    assert!(refused.starts_with("CANNOT_EVACUATE_HOST [VM_REQUIRES_SR,"), "{refused}");
    let preventing = client.ok("host.get_vms_which_prevent_evacuation", one).await;
    assert!(!preventing.as_struct().unwrap().is_empty());
    clear(&running, &client, &host).await;
    let moving = client.field("host", &host, "resident_VMs").await.as_array().unwrap().len() - 1;
    assert!(moving > 2);
    client.ok("host.assert_can_evacuate", one).await;
    client.ok("host.evacuate", one).await;
    assert_eq!(client.field("host", &host, "resident_VMs").await.as_array().unwrap().len(), 1, "dom0 stays");
    let alerts = running.pool().alerts();
    assert_eq!(alerts.iter().filter(|alert| alert.text("name") == "VM_MIGRATED").count(), moving);
    let metrics = client.field("host", &host, "metrics").await;
    client.ok("host.reboot", one).await;
    assert_eq!(client.field("host_metrics", &metrics, "live").await, false.into());
    let reference = host.as_str().unwrap();
    let back = |pool: &simulator::PoolHandle| {
        pool.record("host", reference).unwrap().get("enabled") == Some(&true.into())
    };
    assert!(running.pool().wait_until(SOON, back).await);
    assert_eq!(client.field("host_metrics", &metrics, "live").await, true.into());
}

#[tokio::test]
async fn a_host_is_switched_off_and_on() {
    let (running, client) = client::fast().await;
    let host = member(&running, &client).await;
    // The coordinator alone could not take them all.
    _ = running.pool().join_host("xen-spare", "10.20.0.19", 512 << 30);
    let one = std::slice::from_ref(&host);
    let name = host.as_str().unwrap();
    client.ok("host.disable", one).await;
    clear(&running, &client, &host).await;
    client.ok("host.evacuate", one).await;
    assert_eq!(client.refused("host.power_on", one).await, format!("HOST_IS_LIVE [{name}]"));
    client.ok("host.shutdown", one).await;
    assert_eq!(client.refused("host.enable", one).await, format!("HOST_OFFLINE [{name}]"));
    assert_eq!(client.refused("host.power_on", one).await, "HOST_POWER_ON_MODE_DISABLED");
    client.ok("host.set_power_on_mode", &[host.clone(), "IPMI".into(), record([])]).await;
    let allowed = client.field("host", &host, "allowed_operations").await;
    assert!(allowed.as_array().unwrap().contains(&"power_on".into()));
    client.ok("host.power_on", one).await;
    assert_eq!(client.field("host", &host, "enabled").await, true.into());
}

#[tokio::test]
async fn a_lost_host_takes_its_vms_along() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let host = member(&running, &client).await;
    let name = host.as_str().unwrap();
    let guests: Vec<Value> = client.field("host", &host, "resident_VMs").await.as_array().unwrap().to_vec();
    let mut running_guest = None;
    for vm in guests {
        let record = pool.record("VM", vm.as_str().unwrap()).unwrap();
        if record.text("power_state") == "Running" && record.text("name_label").starts_with("web") {
            running_guest = Some(vm);
        }
    }
    let vm = running_guest.unwrap();
    pool.crash_host(name).unwrap();
    // Nobody knows yet, but nothing can be done there.
    assert_eq!(client.field("VM", &vm, "power_state").await, "Running".into());
    let refused = client.refused("VM.hard_shutdown", std::slice::from_ref(&vm)).await;
    assert_eq!(refused, format!("CANNOT_CONTACT_HOST [{name}]"));
    let metrics = pool.record("host", name).unwrap().text("metrics").to_owned();
    let dead = |pool: &simulator::PoolHandle| {
        pool.record("host_metrics", &metrics).unwrap().get("live") == Some(&false.into())
    };
    assert!(pool.wait_until(SOON, dead).await);
    assert_eq!(client.field("VM", &vm, "power_state").await, "Running".into(), "without HA nobody dares");
    let refused = client.refused("VM.hard_shutdown", std::slice::from_ref(&vm)).await;
    assert_eq!(refused, format!("HOST_OFFLINE [{name}]"));
    client.ok("host.declare_dead", std::slice::from_ref(&host)).await;
    assert_eq!(client.field("VM", &vm, "power_state").await, "Halted".into());
    assert_eq!(client.field("VM", &vm, "resident_on").await, NULL_REF.into());
    client.ok("VM.start", &[vm.clone(), false.into(), false.into()]).await;
    assert_ne!(client.field("VM", &vm, "resident_on").await, host);
    pool.boot_host(name).unwrap();
    assert!(!dead(&pool));
    let coordinator = pool.records("pool")[0].text("master").to_owned();
    assert!(pool.crash_host(&coordinator).unwrap_err().to_string().starts_with("OPERATION_NOT_ALLOWED"));
}

#[tokio::test]
async fn a_dead_host_is_forgotten() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let host = member(&running, &client).await;
    let name = host.as_str().unwrap();
    let refused = client.refused("host.destroy", std::slice::from_ref(&host)).await;
    assert_eq!(refused, format!("HOST_IS_LIVE [{name}]"));
    let coordinator = Value::from(pool.records("pool")[0].text("master"));
    let refused = client.refused("host.destroy", std::slice::from_ref(&coordinator)).await;
    assert_eq!(refused, format!("HOST_CANNOT_DESTROY_SELF [{}]", coordinator.as_str().unwrap()));
    client.ok("host.declare_dead", std::slice::from_ref(&host)).await;
    client.ok("host.destroy", std::slice::from_ref(&host)).await;
    for (class, field) in [("PBD", "host"), ("PIF", "host"), ("host_cpu", "host"), ("VM", "affinity")] {
        assert!(pool.records(class).iter().all(|row| row.text(field) != name), "{class} of the lost host");
    }
}
