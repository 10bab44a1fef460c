//! Disks, what they take, and the storage that they lie on.

use simulator::{Options, Simulator};
use xapi::Value;

use crate::client::{self, SOON, named, record};

fn disk(sr: &Value, size: i64) -> Value {
    record([
        ("SR", sr.clone()),
        ("virtual_size", size.into()),
        ("type", "user".into()),
        ("name_label", "d".into()),
    ])
}

#[tokio::test]
async fn what_disks_take_is_kept_and_a_full_sr_refuses() {
    let (running, client) = client::fast().await;
    let sr = named(&running, "SR", "NFS flash");
    let used = client.int("SR", &sr, "physical_utilisation").await;
    let given = client.int("SR", &sr, "virtual_allocation").await;
    // Sizes are rounded up to whole grains.
    let vdi = client.ok("VDI.create", &[disk(&sr, (1 << 30) + 1)]).await;
    let size = client.int("VDI", &vdi, "virtual_size").await;
    assert_eq!(size, (1 << 30) + (2 << 20));
    assert_eq!(client.int("SR", &sr, "virtual_allocation").await, given + size);
    assert!(client.int("SR", &sr, "physical_utilisation").await > used);
    client.ok("VDI.resize", &[vdi.clone(), (2i64 << 30).into()]).await;
    assert_eq!(client.int("VDI", &vdi, "virtual_size").await, 2 << 30);
    assert_eq!(client.int("SR", &sr, "virtual_allocation").await, given + (2 << 30));
    let refused = client.refused("VDI.resize", &[vdi.clone(), (1i64 << 30).into()]).await;
    assert!(refused.starts_with("SR_BACKEND_FAILURE_79 ["), "{refused}");
    assert!(client.refused("VDI.create", &[disk(&sr, 0)]).await.starts_with("SR_BACKEND_FAILURE_79 ["));
    let refused = client.refused("VDI.create", &[disk(&sr, 1 << 50)]).await;
    assert_eq!(refused, "SR_BACKEND_FAILURE_44 [, There is insufficient space, ]");
    client.ok("VDI.destroy", &[vdi]).await;
    assert_eq!(client.int("SR", &sr, "physical_utilisation").await, used);
    assert_eq!(client.int("SR", &sr, "virtual_allocation").await, given);
    let library = named(&running, "SR", "ISO library");
    let refused = client.refused("VDI.create", &[disk(&library, 1 << 30)]).await;
    assert_eq!(refused, format!("SR_OPERATION_NOT_SUPPORTED [{}]", library.as_str().unwrap()));
}

#[tokio::test]
async fn disks_are_branched_copied_and_moved() {
    let (running, client) = client::fast().await;
    let flash = named(&running, "SR", "NFS flash");
    let local = named(&running, "SR", "Local storage");
    let vdi = named(&running, "VDI", "lab disk 0");
    let snapshot = client.ok("VDI.snapshot", std::slice::from_ref(&vdi)).await;
    assert_eq!(client.field("VDI", &snapshot, "snapshot_of").await, vdi);
    assert_eq!(client.field("VDI", &snapshot, "is_a_snapshot").await, true.into());
    let clone = client.ok("VDI.clone", std::slice::from_ref(&vdi)).await;
    assert_eq!(client.field("VDI", &clone, "is_a_snapshot").await, false.into());
    let copy = client.ok("VDI.copy", &[vdi.clone(), flash.clone()]).await;
    assert_eq!(client.field("VDI", &copy, "SR").await, flash);
    let refused = client.refused("VDI.pool_migrate", &[copy.clone(), local, record([])]).await;
    assert_eq!(refused, format!("VDI_NEEDS_VM_FOR_MIGRATE [{}]", copy.as_str().unwrap()));
    let moved = client.ok("VDI.pool_migrate", &[vdi.clone(), flash.clone(), record([])]).await;
    assert!(client.refused("VDI.get_record", &[vdi]).await.starts_with("HANDLE_INVALID"));
    assert_eq!(client.field("VDI", &snapshot, "snapshot_of").await, moved);
    let vbd = client.field("VM", &client.vm("lab").await, "VBDs").await.as_array().unwrap()[0].clone();
    assert_eq!(client.field("VBD", &vbd, "VDI").await, moved);
    client.ok("VDI.set_sharable", &[moved.clone(), true.into()]).await;
    let refused = client.refused("VDI.snapshot", std::slice::from_ref(&moved)).await;
    assert_eq!(refused, format!("VDI_IS_SHARABLE [{}]", moved.as_str().unwrap()));
}

#[tokio::test]
async fn a_copy_shows_while_it_lasts() {
    let simulator = Simulator::builtin(Options { speed: 4.0, ..client::options() }).unwrap();
    let (running, client) = client::open(simulator).await;
    let vdi = named(&running, "VDI", "lab disk 0");
    let sr = named(&running, "SR", "NFS flash");
    let task = client.ok("Async.VDI.copy", &[vdi.clone(), sr]).await;
    let reference = vdi.as_str().unwrap();
    let busy = |pool: &simulator::PoolHandle| {
        let record = pool.record("VDI", reference).unwrap();
        !record.get("current_operations").unwrap().as_struct().unwrap().is_empty()
    };
    assert!(running.pool().wait_until(SOON, busy).await);
    let record = running.pool().record("VDI", reference).unwrap();
    let operations = record.get("current_operations").unwrap().as_struct().unwrap();
    assert_eq!(operations.get(task.as_str().unwrap()), Some(&"copy".into()));
    assert_eq!(record.get("allowed_operations"), Some(&Value::Array(Vec::new())));
    let refused = client.refused("VDI.destroy", std::slice::from_ref(&vdi)).await;
    let said = format!("OTHER_OPERATION_IN_PROGRESS [VDI, {reference}, copy, {}]", task.as_str().unwrap());
    assert_eq!(refused, said);
    client.ok("task.cancel", std::slice::from_ref(&task)).await;
    assert!(running.pool().wait_until(SOON, |pool| !busy(pool)).await);
    client.ok("VDI.destroy", &[vdi]).await;
}

#[tokio::test]
async fn an_sr_is_made_unplugged_and_destroyed() {
    let (running, client) = client::fast().await;
    let host = Value::from(running.pool().records("host")[0].reference.as_str());
    let make = |kind: &'static str, config: Value| {
        [
            host.clone(),
            config,
            (1i64 << 40).into(),
            "new".into(),
            "".into(),
            kind.into(),
            "user".into(),
            false.into(),
            record([]),
        ]
    };
    assert_eq!(client.refused("SR.create", &make("zfs", record([]))).await, "SR_UNKNOWN_DRIVER [zfs]");
    let refused = client.refused("SR.create", &make("nfs", record([]))).await;
    assert_eq!(refused, "SR_BACKEND_FAILURE_101 [, The request is missing the server parameter, ]");
    let sr = client.ok("SR.create", &make("ext", record([("device", "/dev/sdb".into())]))).await;
    let name = sr.as_str().unwrap();
    let one = std::slice::from_ref(&sr);
    let vdi = client.ok("VDI.create", &[disk(&sr, 1 << 30)]).await;
    assert_eq!(client.refused("SR.destroy", one).await, format!("SR_HAS_PBD [{name}]"));
    assert_eq!(client.refused("SR.forget", one).await, format!("SR_HAS_PBD [{name}]"));
    let pbd = client.field("SR", &sr, "PBDs").await.as_array().unwrap()[0].clone();
    let refused = client.refused("PBD.destroy", std::slice::from_ref(&pbd)).await;
    assert!(refused.starts_with("OPERATION_NOT_ALLOWED [PBD '"), "{refused}");
    client.ok("PBD.unplug", std::slice::from_ref(&pbd)).await;
    let refused = client.refused("VDI.create", &[disk(&sr, 1 << 30)]).await;
    assert_eq!(refused, format!("SR_HAS_NO_PBDS [{name}]"));
    assert_eq!(client.refused("SR.scan", one).await, format!("SR_HAS_NO_PBDS [{name}]"));
    assert_eq!(client.refused("SR.destroy", one).await, "SR_NOT_EMPTY");
    client.ok("PBD.plug", std::slice::from_ref(&pbd)).await;
    client.ok("SR.scan", one).await;
    client.ok("VDI.destroy", &[vdi]).await;
    client.ok("PBD.unplug", std::slice::from_ref(&pbd)).await;
    client.ok("SR.destroy", one).await;
    assert!(client.refused("PBD.get_record", &[pbd]).await.starts_with("HANDLE_INVALID"));
}

#[tokio::test]
async fn plugging_fails_as_drivers_fail() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let flash = named(&running, "SR", "NFS flash");
    let pbd = client.field("SR", &flash, "PBDs").await.as_array().unwrap()[0].clone();
    let refused = client.refused("PBD.unplug", std::slice::from_ref(&pbd)).await;
    assert!(refused.starts_with("VDI_IN_USE ["), "{refused}");
    let record_of = pool.record("PBD", pbd.as_str().unwrap()).unwrap();
    let given = record([
        ("SR", flash.clone()),
        ("host", record_of.text("host").into()),
        ("device_config", record([])),
    ]);
    let refused = client.refused("PBD.create", &[given]).await;
    let said = format!(
        "PBD_EXISTS [{}, {}, {}]",
        flash.as_str().unwrap(),
        record_of.text("host"),
        record_of.reference
    );
    assert_eq!(refused, said);
    let library = named(&running, "SR", "ISO library");
    let pbds = client.field("SR", &library, "PBDs").await;
    // The host without a drive that holds an image can let go.
    let mut unplugged = None;
    for pbd in pbds.as_array().unwrap() {
        for vm in pool.records("VM") {
            if vm.text("power_state") == "Running" && vm.text("name_label").starts_with("desktop") {
                client.ok("VM.hard_shutdown", &[vm.reference.as_str().into()]).await;
            }
        }
        client.ok("PBD.unplug", std::slice::from_ref(pbd)).await;
        unplugged = Some(pbd.clone());
    }
    let pbd = unplugged.unwrap();
    client.ok("PBD.set_device_config", &[pbd.clone(), record([("simulated-failure", "222".into())])]).await;
    let refused = client.refused("PBD.plug", std::slice::from_ref(&pbd)).await;
    let said = "SR_BACKEND_FAILURE_222 [, Could not mount the directory specified in Device Configuration, ]";
    assert_eq!(refused, said);
    client.ok("PBD.set_device_config", &[pbd.clone(), record([("location", "a:/b".into())])]).await;
    client.ok("PBD.plug", std::slice::from_ref(&pbd)).await;
    assert_eq!(client.field("PBD", &pbd, "currently_attached").await, true.into());
    let local = named(&running, "SR", "Local storage");
    let pbd = client.field("SR", &local, "PBDs").await.as_array().unwrap()[0].clone();
    let own = client.field("PBD", &pbd, "host").await;
    let other = pool.records("host").into_iter().find(|host| own != host.reference.as_str().into()).unwrap();
    let given = record([
        ("SR", local.clone()),
        ("host", other.reference.as_str().into()),
        ("device_config", record([])),
    ]);
    let refused = client.refused("PBD.create", &[given]).await;
    assert_eq!(refused, format!("SR_NOT_SHARABLE [{}, {}]", local.as_str().unwrap(), other.reference));
}

#[tokio::test]
async fn without_its_image_a_suspended_vm_sleeps_for_ever() {
    let (_running, client) = client::fast().await;
    let vm = client.vm("desktop-3").await;
    let image = client.field("VM", &vm, "suspend_VDI").await;
    client.ok("VDI.destroy", &[image]).await;
    assert_eq!(client.field("VM", &vm, "suspend_VDI").await, xapi::NULL_REF.into());
    let refused = client.refused("VM.resume", &[vm.clone(), false.into(), false.into()]).await;
    assert_eq!(refused, format!("VM_HAS_NO_SUSPEND_VDI [{}]", vm.as_str().unwrap()));
    client.ok("VM.hard_shutdown", std::slice::from_ref(&vm)).await;
    assert_eq!(client.field("VM", &vm, "power_state").await, "Halted".into());
}
