//! VMs come, go, sleep and multiply, with the rules and the traces of a real pool.

use simulator::{Options, Simulator};
use xapi::{NULL_REF, Value};

use crate::client::{self, SOON};

#[tokio::test]
async fn a_vm_goes_through_its_states() {
    let (running, client) = client::fast().await;
    let vm = client.vm("lab").await;
    let one = std::slice::from_ref(&vm);
    let start = [vm.clone(), false.into(), false.into()];
    let steps: &[(&str, &[Value], &str)] = &[
        ("VM.start", &start, "Running"),
        ("VM.pause", one, "Paused"),
        ("VM.unpause", one, "Running"),
        ("VM.clean_reboot", one, "Running"),
        ("VM.suspend", one, "Suspended"),
        ("VM.resume", &start, "Running"),
        ("VM.hard_reboot", one, "Running"),
        ("VM.clean_shutdown", one, "Halted"),
        ("VM.start", &[vm.clone(), true.into(), false.into()], "Paused"),
        ("VM.hard_shutdown", one, "Halted"),
    ];
    for (method, arguments, state) in steps {
        client::agent(&running, &vm).await;
        assert_eq!(client.ok(method, arguments).await, Value::VOID, "{method}");
        assert_eq!(client.field("VM", &vm, "power_state").await, (*state).into(), "{method}");
        let alive = ["Running", "Paused"].contains(state);
        let host = client.field("VM", &vm, "resident_on").await;
        assert_eq!(host != NULL_REF.into(), alive, "{method}");
        assert_eq!(client.field("VM", &vm, "domid").await.as_int().unwrap() > 0, alive, "{method}");
        assert_eq!(
            client.field("VM", &vm, "consoles").await.as_array().unwrap().len(),
            usize::from(alive),
            "{method}"
        );
        for vbd in client.field("VM", &vm, "VBDs").await.as_array().unwrap() {
            assert_eq!(client.field("VBD", vbd, "currently_attached").await, alive.into(), "{method}");
        }
        let image = client.field("VM", &vm, "suspend_VDI").await;
        assert_eq!(image != NULL_REF.into(), *state == "Suspended", "{method}");
        if alive {
            assert!(client.field("host", &host, "resident_VMs").await.as_array().unwrap().contains(&vm));
        }
    }
    let names: Vec<String> =
        running.pool().alerts().iter().map(|alert| alert.text("name").to_owned()).collect();
    assert_eq!(
        names,
        [
            "VM_STARTED",
            "VM_PAUSED",
            "VM_UNPAUSED",
            "VM_REBOOTED",
            "VM_SUSPENDED",
            "VM_RESUMED",
            "VM_REBOOTED",
            "VM_SHUTDOWN",
            "VM_STARTED",
            "VM_SHUTDOWN"
        ]
    );
}

#[tokio::test]
async fn wrong_states_and_wrong_objects_are_refused() {
    let (_running, client) = client::fast().await;
    let web = client.vm("web-1").await;
    let lab = client.vm("lab").await;
    let template = client.vm("Debian 13").await;
    let snapshot = client.vm("db-1 nightly").await;
    let dom0 = client.vm("Control domain on host: xen-north").await;
    let show = |value: &Value| value.as_str().unwrap().to_owned();
    let no = Value::Bool(false);
    for (method, arguments, said) in [
        (
            "VM.start",
            vec![web.clone(), no.clone(), no.clone()],
            format!("VM_BAD_POWER_STATE [{}, halted, running]", show(&web)),
        ),
        (
            "VM.clean_shutdown",
            vec![lab.clone()],
            format!("VM_BAD_POWER_STATE [{}, running, halted]", show(&lab)),
        ),
        (
            "VM.start",
            vec![template.clone(), no.clone(), no.clone()],
            format!("VM_IS_TEMPLATE [{}, start]", show(&template)),
        ),
        (
            "VM.destroy",
            vec![template.clone()],
            format!("VM_CANNOT_DELETE_DEFAULT_TEMPLATE [{}]", show(&template)),
        ),
        (
            "VM.start",
            vec![snapshot.clone(), no.clone(), no.clone()],
            format!("VM_IS_SNAPSHOT [{}, start]", show(&snapshot)),
        ),
        ("VM.pause", vec![dom0], "OPERATION_NOT_ALLOWED [This operation is not allowed on dom0]".into()),
        (
            "VM.start",
            vec!["OpaqueRef:gone".into(), no.clone(), no.clone()],
            "HANDLE_INVALID [VM, OpaqueRef:gone]".into(),
        ),
        (
            "VM.migrate_send",
            vec![web.clone(), Value::Struct(xapi::Struct::new()), no.clone(), map(), map(), map()],
            "MESSAGE_METHOD_UNKNOWN [VM.migrate_send]".into(),
        ),
    ] {
        assert_eq!(client.refused(method, &arguments).await, said);
    }
}

fn map() -> Value {
    Value::Struct(xapi::Struct::new())
}

#[tokio::test]
async fn hosts_that_are_full_or_disabled_take_no_vm() {
    let (running, client) = client::fast().await;
    let vm = client.vm("lab").await;
    let start = [vm.clone(), false.into(), false.into()];
    let hosts = running.pool().records("host");
    for host in &hosts {
        running.pool().set("host_metrics", host.text("metrics"), "memory_free", 1000i64).unwrap();
    }
    let refused = client.refused("VM.start", &start).await;
    assert!(
        refused.starts_with("HOST_NOT_ENOUGH_FREE_MEMORY [") && refused.ends_with(", 1000]"),
        "{refused}"
    );
    for host in &hosts {
        client.ok("host.disable", &[host.reference.as_str().into()]).await;
    }
    assert_eq!(client.refused("VM.start", &start).await, "NO_HOSTS_AVAILABLE");
    let chosen = Value::from(hosts[1].reference.as_str());
    let refused =
        client.refused("VM.start_on", &[vm.clone(), chosen.clone(), false.into(), false.into()]).await;
    assert_eq!(refused, format!("HOST_DISABLED [{}]", hosts[1].reference));
    client.ok("host.enable", std::slice::from_ref(&chosen)).await;
    running.pool().set("host_metrics", hosts[1].text("metrics"), "memory_free", 1i64 << 40).unwrap();
    client.ok("VM.start", &start).await;
    assert_eq!(
        client.field("VM", &vm, "resident_on").await,
        chosen,
        "the only one left, whatever the affinity"
    );
}

#[tokio::test]
async fn a_vm_moves_to_the_other_host_unless_its_disk_cannot() {
    let (running, client) = client::fast().await;
    let vm = client.vm("web-1").await;
    let from = client.field("VM", &vm, "resident_on").await;
    let to = running
        .pool()
        .records("host")
        .into_iter()
        .find(|host| Value::from(host.reference.as_str()) != from)
        .unwrap();
    let target = Value::from(to.reference.as_str());
    client.ok("VM.pool_migrate", &[vm.clone(), target.clone(), map()]).await;
    assert_eq!(client.field("VM", &vm, "resident_on").await, target);
    assert_eq!(client.field("VM", &vm, "power_state").await, "Running".into());
    // A desktop lies on its host's own disks.
    let desktop = client.vm("desktop-1").await;
    let from = client.field("VM", &desktop, "resident_on").await;
    let hosts = running.pool().records("host");
    let other =
        hosts.iter().map(|host| Value::from(host.reference.as_str())).find(|host| *host != from).unwrap();
    let refused = client.refused("VM.pool_migrate", &[desktop, other, map()]).await;
    assert!(refused.starts_with("VM_REQUIRES_SR ["), "{refused}");
}

#[tokio::test]
async fn copies_have_their_own_disks_and_snapshots_know_their_origin() {
    let (running, client) = client::fast().await;
    let vm = client.vm("lab").await;
    let clone = client.ok("VM.clone", &[vm.clone(), "lab copy".into()]).await;
    let snapshot = client.ok("VM.snapshot", &[vm.clone(), "lab picture".into()]).await;
    assert_eq!(client.field("VM", &clone, "parent").await, vm);
    assert_eq!(client.field("VM", &snapshot, "snapshot_of").await, vm);
    assert!(client.field("VM", &vm, "snapshots").await.as_array().unwrap().contains(&snapshot));
    assert_ne!(client.field("VM", &clone, "uuid").await, client.field("VM", &vm, "uuid").await);
    let mut disks = Vec::new();
    for owner in [&vm, &clone, &snapshot] {
        let vbd = client.field("VM", owner, "VBDs").await.as_array().unwrap()[0].clone();
        disks.push(client.field("VBD", &vbd, "VDI").await);
    }
    assert!(disks[0] != disks[1] && disks[1] != disks[2] && disks[0] != disks[2]);
    assert_eq!(client.field("VDI", &disks[2], "snapshot_of").await, disks[0]);
    let before = running.pool().records("VDI").len();
    client.ok("VM.destroy", std::slice::from_ref(&clone)).await;
    assert!(client.refused("VM.get_record", &[clone]).await.starts_with("HANDLE_INVALID"));
    assert_eq!(running.pool().records("VDI").len(), before, "disks outlive their VM");
    assert_eq!(client.field("VDI", &disks[1], "VBDs").await, Value::Array(Vec::new()));
    // A template makes a VM by clone and provision.
    let template = client.vm("golden-web").await;
    let made = client.ok("VM.clone", &[template, "made".into()]).await;
    assert_eq!(client.field("VM", &made, "is_a_template").await, true.into());
    client.ok("VM.provision", std::slice::from_ref(&made)).await;
    client.ok("VM.start", &[made, false.into(), false.into()]).await;
}

#[tokio::test]
async fn an_operation_shows_while_it_lasts_and_keeps_others_off() {
    let simulator = Simulator::builtin(Options { speed: 4.0, ..client::options() }).unwrap();
    let (running, client) = client::open(simulator).await;
    let vm = client.vm("web-1").await;
    let reference = vm.as_str().unwrap();
    let task = client.ok("Async.VM.clean_shutdown", std::slice::from_ref(&vm)).await;
    let busy = |pool: &simulator::PoolHandle| {
        !pool
            .record("VM", reference)
            .unwrap()
            .get("current_operations")
            .unwrap()
            .as_struct()
            .unwrap()
            .is_empty()
    };
    assert!(running.pool().wait_until(SOON, busy).await);
    let record = running.pool().record("VM", reference).unwrap();
    let operations = record.get("current_operations").unwrap().as_struct().unwrap();
    assert_eq!(operations.get(task.as_str().unwrap()), Some(&"clean_shutdown".into()));
    assert_eq!(
        record.get("allowed_operations"),
        Some(&Value::Array(vec!["hard_reboot".into(), "hard_shutdown".into()]))
    );
    let refused = client.refused("VM.pause", std::slice::from_ref(&vm)).await;
    let said =
        format!("OTHER_OPERATION_IN_PROGRESS [VM, {reference}, clean_shutdown, {}]", task.as_str().unwrap());
    assert_eq!(refused, said);
    // Pulling the plug ends it, and the shutdown finds its work done.
    client.ok("VM.hard_shutdown", std::slice::from_ref(&vm)).await;
    let done = |pool: &simulator::PoolHandle| {
        pool.record("task", task.as_str().unwrap()).unwrap().text("status") != "pending"
    };
    assert!(running.pool().wait_until(SOON, done).await);
    assert_eq!(client.field("task", &task, "status").await, "success".into());
    let record = running.pool().record("VM", reference).unwrap();
    assert_eq!(record.get("current_operations"), Some(&map()));
    assert!(record.get("allowed_operations").unwrap().as_array().unwrap().contains(&"start".into()));
}

#[tokio::test]
async fn a_crash_is_nobodys_task_and_the_guest_speaks_again_after_a_start() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let vm = pool.find_vm("web-1").unwrap();
    let reference = Value::from(vm.as_str());
    let before = pool.record("VM", &vm).unwrap();
    let said = pool.record("VM_guest_metrics", before.text("guest_metrics")).unwrap();
    let token = client.events_within(&["*"], "", 0.0).await.token;
    pool.crash(&vm).unwrap();
    let batch = client.events(&["vm", "task", "message"], &token).await;
    assert_eq!(batch.lines(), ["add message -", "mod vm web-1"]);
    assert_eq!(batch.events[0].get("name"), Some(&"VM_CRASHED".into()));
    assert_eq!(batch.events[1].get("power_state"), Some(&"Halted".into()));
    assert_eq!(batch.events[1].get("guest_metrics"), Some(&NULL_REF.into()));
    assert!(pool.crash(&vm).unwrap_err().to_string().starts_with("VM_BAD_POWER_STATE"));
    client.ok("VM.start", &[reference, false.into(), false.into()]).await;
    let speaks =
        |pool: &simulator::PoolHandle| pool.record("VM", &vm).unwrap().text("guest_metrics") != NULL_REF;
    assert!(pool.wait_until(SOON, speaks).await);
    let again =
        pool.record("VM_guest_metrics", pool.record("VM", &vm).unwrap().text("guest_metrics")).unwrap();
    assert_eq!(again.get("networks"), said.get("networks"));
    assert_ne!(again.reference, said.reference);
}

#[tokio::test]
async fn with_crash_every_a_kept_vm_crashes_by_itself() {
    let every = std::time::Duration::from_millis(30);
    let simulator = Simulator::builtin(Options { crash_every: Some(every), ..client::options() }).unwrap();
    let (running, _client) = client::open(simulator).await;
    let crashed = |pool: &simulator::PoolHandle| {
        pool.alerts().iter().filter(|a| a.text("name") == "VM_CRASHED").count() >= 2
    };
    assert!(running.pool().wait_until(SOON, crashed).await);
    let alert = running.pool().alerts().remove(0);
    let vms = running.pool().records("VM");
    let vm = vms.iter().find(|vm| vm.text("uuid") == alert.text("obj_uuid")).unwrap();
    assert_eq!(vm.text("power_state"), "Halted");
    assert!(vm.get("tags").unwrap().as_array().unwrap().contains(&"keepalive".into()));
}
