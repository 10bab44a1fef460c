//! Hosts join and leave, and high availability is switched on and off.

use xapi::Value;

use crate::client::{self, SOON, named};

#[tokio::test]
async fn a_host_joins_and_is_ejected() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let host = pool.join_host("xen-west", "10.20.0.13", 64 << 30);
    let reference = Value::from(host.as_str());
    let vm = client.vm("web-1").await;
    client.ok("VM.pool_migrate", &[vm.clone(), reference.clone(), client::record([])]).await;
    assert_eq!(client.field("VM", &vm, "resident_on").await, reference);
    let refused = client.refused("pool.eject", std::slice::from_ref(&reference)).await;
    assert_eq!(refused, format!("HOST_HAS_RESIDENT_VMS [{host}]"));
    client.ok("host.evacuate", std::slice::from_ref(&reference)).await;
    client.ok("pool.eject", std::slice::from_ref(&reference)).await;
    assert!(pool.record("host", &host).is_none());
    assert!(pool.records("PBD").iter().all(|pbd| pbd.text("host") != host));
    let coordinator = Value::from(pool.records("pool")[0].text("master"));
    assert!(client.refused("pool.eject", &[coordinator]).await.starts_with("OPERATION_NOT_ALLOWED ["));
}

#[tokio::test]
async fn ha_keeps_protected_vms_alive() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    assert_eq!(client.refused("pool.disable_ha", &[]).await, "HA_NOT_ENABLED");
    let local = named(&running, "SR", "Local storage");
    let on = |sr: &Value| [Value::Array(vec![sr.clone()]), client::record([])];
    let refused = client.refused("pool.enable_ha", &on(&local)).await;
    assert_eq!(refused, format!("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED [{}]", local.as_str().unwrap()));
    let flash = named(&running, "SR", "NFS flash");
    client.ok("pool.enable_ha", &on(&flash)).await;
    assert_eq!(client.refused("pool.enable_ha", &on(&flash)).await, "HA_IS_ENABLED");
    let row = pool.records("pool").remove(0);
    assert_eq!(row.get("ha_enabled"), Some(&true.into()));
    let statefile = pool.records("VDI").into_iter().find(|vdi| vdi.text("type") == "ha_statefile").unwrap();
    let refused = client.refused("VDI.destroy", &[statefile.reference.as_str().into()]).await;
    assert_eq!(refused, "HA_IS_ENABLED");
    let most = client.ok("pool.ha_compute_max_host_failures_to_tolerate", &[]).await;
    assert_eq!(most.as_int(), Some(1));
    let reference = Value::from(row.reference.as_str());
    let refused =
        client.refused("pool.set_ha_host_failures_to_tolerate", &[reference.clone(), 7i64.into()]).await;
    assert_eq!(refused, "HA_NO_PLAN");
    client.ok("pool.set_ha_host_failures_to_tolerate", &[reference, 1i64.into()]).await;

    // Of two VMs on the host that is lost, the protected one lives on elsewhere.
    let member = pool.records("host").into_iter().find(|host| host.reference != row.text("master")).unwrap();
    let there: Vec<_> = pool
        .records("VM")
        .into_iter()
        .filter(|vm| vm.text("resident_on") == member.reference && vm.text("name_label").starts_with("app"))
        .collect();
    let (kept, lost) = (&there[0], &there[1]);
    client.ok("VM.set_ha_restart_priority", &[kept.reference.as_str().into(), "restart".into()]).await;
    pool.crash_host(&member.reference).unwrap();
    let moved = |pool: &simulator::PoolHandle| {
        let now = pool.record("VM", &kept.reference).unwrap();
        now.text("power_state") == "Running" && now.text("resident_on") != member.reference
    };
    assert!(pool.wait_until(SOON, moved).await);
    assert_eq!(pool.record("VM", &lost.reference).unwrap().text("power_state"), "Halted");
    assert!(pool.alerts().iter().any(|alert| alert.text("name") == "HA_HOST_FAILED"));
    client.ok("pool.disable_ha", &[]).await;
    assert!(pool.record("VDI", &statefile.reference).is_none());
}
