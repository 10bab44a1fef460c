//! VMs of an appliance start and stop together, in order.

use simulator::{Options, Simulator};
use xapi::{NULL_REF, Value};

use crate::client::{self, SOON, record};

#[tokio::test]
async fn an_appliance_starts_one_order_after_another() {
    let simulator = Simulator::builtin(Options { speed: 20.0, ..client::options() }).unwrap();
    let (running, client) = client::open(simulator).await;
    let pool = running.pool();
    let appliance = client.ok("VM_appliance.create", &[record([("name_label", "shop".into())])]).await;
    let start = [appliance.clone(), false.into()];
    assert_eq!(
        client.refused("VM_appliance.start", &start).await,
        "OPERATION_NOT_ALLOWED [Appliance has no VMs.]"
    );
    let (first, second) = (client.vm("lab").await, client.vm("backup").await);
    for (vm, order) in [(&first, 1i64), (&second, 2)] {
        client.ok("VM.set_appliance", &[vm.clone(), appliance.clone()]).await;
        client.ok("VM.set_order", &[vm.clone(), order.into()]).await;
        client.ok("VM.set_start_delay", &[vm.clone(), 5i64.into()]).await;
    }
    let allowed = client.field("VM_appliance", &appliance, "allowed_operations").await;
    assert_eq!(allowed, Value::Array(vec!["start".into()]));
    let task = client.ok("Async.VM_appliance.start", &start).await;
    let state = |pool: &simulator::PoolHandle, vm: &Value| {
        pool.record("VM", vm.as_str().unwrap()).unwrap().text("power_state").to_owned()
    };
    assert!(pool.wait_until(SOON, |pool| state(pool, &first) == "Running").await);
    // The second waits for the delay of the first.
    assert_eq!(state(&pool, &second), "Halted");
    let refused = client.refused("VM_appliance.clean_shutdown", std::slice::from_ref(&appliance)).await;
    assert!(refused.starts_with("OTHER_OPERATION_IN_PROGRESS [VM_appliance, "), "{refused}");
    let done = |pool: &simulator::PoolHandle| {
        pool.record("task", task.as_str().unwrap()).unwrap().text("status") == "success"
    };
    assert!(pool.wait_until(SOON, done).await);
    assert_eq!(state(&pool, &second), "Running");
    for vm in [&first, &second] {
        client::agent(&running, vm).await;
    }
    client.ok("VM_appliance.clean_shutdown", std::slice::from_ref(&appliance)).await;
    assert_eq!((state(&pool, &first), state(&pool, &second)), ("Halted".into(), "Halted".into()));

    // What cannot start is told at the end; the rest runs.
    let blocked = record([("start", "not today".into())]);
    client.ok("VM.set_blocked_operations", &[second.clone(), blocked]).await;
    let refused = client.refused("VM_appliance.start", &start).await;
    assert_eq!(refused, "OPERATION_PARTIALLY_FAILED [start]");
    assert_eq!((state(&pool, &first), state(&pool, &second)), ("Running".into(), "Halted".into()));
    client.ok("VM_appliance.destroy", &[appliance]).await;
    assert_eq!(client.field("VM", &first, "appliance").await, NULL_REF.into());
}
