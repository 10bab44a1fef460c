//! A plugin in a small world: what it reads there is what a pool would show it, and a test's slips are told.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(clippy::needless_pass_by_value, reason = "handlers may take their subject by value, and most do")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;
use xapiary_sdk::testing::{Answer, World};
use xapiary_sdk::xapi::{self, Class, Host, Null, Vbd, Vm, VmPowerState};
use xapiary_sdk::{
    Alert, Change, Connection, Ending, Event, Failure, Fault, Outcome, Subject, TaskOutcome, Tick, args,
    calls, info, objects, plugin, settings, store,
};

#[derive(Deserialize)]
struct Probe {
    greeting: String,
}

#[plugin(manifest = r#"
name = "probe"
version = "0.1.0"
contract = "0.1.0"
description = "Looks around"

[[subscribe]]
name = "vm"
class = "VM"
fields = ["power_state"]
with = ["VBDs"]

[[subscribe]]
name = "nightly"
cron = "0 3 * * *"

[[subscribe]]
name = "pressing"
alert = true
priority_at_most = 2

[[subscribe]]
name = "task"
task = true

[[subscribe]]
name = "line"
connection = true

[settings.greeting]
type = "string"
default = "hello"
description = "What to say"

[secrets.token]
description = "for looking at it"
"#)]
impl Probe {
    #[on("vm")]
    fn vm(&self, event: &Event, change: &Change<Vm>) -> Outcome {
        let changed = change.changed.join(",");
        info!("{} {} of {}: {}", self.greeting, change.operation, event.subscription, changed);
        let Some(vm) = &change.new else { return Ok(()) };
        for vbd in vm.vbds()? {
            info!("disk {} of {:?}", vbd.userdevice()?, vbd.vm()?.map(|vm| vm.name_label()).transpose()?);
        }
        if let Some(host) = vm.resident_on()? {
            info!("on {} with {} others", host.name_label()?, host.resident_vms()?.len() - 1);
        }
        Ok(())
    }

    #[on("nightly")]
    fn nightly(tick: Tick) -> Outcome {
        let halted: Vec<String> = Vm::find("self.power_state == 'Halted' && 'production' in self.tags")
            .map(|vm| vm?.name_label())
            .collect::<Result<_, _>>()?;
        info!("{}: {halted:?} of {}", tick.due, objects::find("VM", "").count());
        info!("{}", Host::by_name_label("host-1")?.len());
        info!("{:?}", Vbd::by_uuid("none")?.is_none());
        Ok(())
    }

    #[on("pressing")]
    fn pressing(alert: Alert) -> Outcome {
        info!("{} about {} {}", alert.name, alert.class, alert.uuid);
        info!("the token is {}", settings::secret("token")?);
        Ok(())
    }

    #[on("task")]
    fn task(subject: Subject) -> Outcome {
        let Subject::Task(TaskOutcome { name, ending, .. }) = subject else {
            return Err(Failure::give_up("no task"));
        };
        store::set_json("last", &name)?;
        if ending == Ending::Cancelled {
            return Err(Failure::give_up("cancelled"));
        }
        let vm = Vm::by_name_label("web")?.pop().unwrap();
        let copy = xapi::vm::copy(&vm, "a copy", &Null)?;
        xapi::vm::set_name_description(&copy, &name)?;
        xapi::vm::migrate_send(&vm, &[("a", "b")], true, &[], &[], &[])?;
        Ok(())
    }

    #[on("line")]
    fn line(connection: Connection) -> Outcome {
        let _ = connection;
        let vm = Vm::by_name_label("web")?.pop().unwrap();
        for (method, arguments) in [
            ("VM.strat", args![&*vm, false, false]),
            ("VM.start", args![&*vm]),
            ("VM.add_tags", args![&*vm, "a"]),
        ] {
            let (called, started) = (calls::call(method, arguments.clone()), calls::start(method, arguments));
            info!(
                "{method}: {:?} {:?}",
                called.err().map(|e| (e.code, e.advice)),
                started.err().map(|e| e.code)
            );
        }
        let wrong = vm.get("power_sate").unwrap_err();
        info!("{}: {}", wrong.code, wrong.advice);
        assert_eq!(vm.power_state()?, VmPowerState::Running);
        Ok(())
    }
}

const WORLD: &str = r#"
    [[VM]]
    name_label = "web"
    uuid = "u-web"
    power_state = "Running"
    resident_on = "host-1"

    [[VM]]
    name_label = "db"
    tags = ["production"]
    resident_on = "host-1"

    [[host]]
    name_label = "host-1"

    [[VBD]]
    uuid = "disk-1"
    userdevice = "0"
    VM = "web"
"#;

fn world() -> World<Probe> {
    World::new(WORLD)
}

#[test]
fn records_are_read_along_references_both_ways() {
    let mut world = world();
    world.setting("greeting", "oh");
    let run = world.modify("VM", "web").set("power_state", "Halted").deliver();
    run.assert_done()
        .assert_logged("oh modified of vm: power_state")
        .assert_logged("disk 0 of Some(\"web\")");
    run.assert_logged("on host-1 with 1 others");
}

#[test]
fn what_belongs_to_an_object_is_heard_as_of_it() {
    let run = world().modify("VBD", "disk-1").set("userdevice", "7").deliver();
    run.assert_done().assert_logged("hello modified of vm: VBDs").assert_logged("disk 7");
}

#[test]
fn objects_come_and_go() {
    let mut world = world();
    world.add("VM", "new").set("power_state", "Paused").deliver().assert_done().assert_logged("added");
    world.delete("VM", "new").deliver().assert_done().assert_logged("deleted");
    let gone = catch_unwind(AssertUnwindSafe(|| world.delete("VM", "new").deliver())).unwrap_err();
    assert!(said(&*gone).contains("no VM \"new\""), "{}", said(&*gone));
}

#[test]
fn a_schedule_finds_what_a_filter_finds() {
    let run = world().at("2026-06-01T03:00:00Z").tick("nightly").deliver();
    run.assert_done().assert_logged("2026-06-01T03:00:00Z: [\"db\"] of 2");
}

#[test]
fn an_alert_names_its_object_and_a_secret_is_given_or_denied() {
    let mut world = world();
    let denied = world.alert("HA_HOST_FAILED", "host", "host-1").deliver();
    denied.assert_logged("HA_HOST_FAILED about Host").assert_gave_up("world.secret(\"token\"");
    world.secret("token", "hunter2");
    world.alert("VM_CRASHED", "VM", "web").deliver().assert_done().assert_logged("the token is hunter2");
}

#[test]
fn calls_are_shown_with_the_names_of_objects_and_writes_are_kept_only_when_done() {
    let mut world = world();
    world.task("Async.VM.start", Ending::Cancelled).deliver().assert_gave_up("cancelled");
    assert_eq!(world.stored::<String>("last"), None);
    let run = world.task("Async.VM.start", Ending::Lost).deliver();
    run.assert_done().assert_calls([
        "VM.copy(web, \"a copy\", null)",
        "VM.set_name_description(ref:made-1, \"Async.VM.start\")",
        "VM.migrate_send(web, {\"a\": \"b\"}, true, {}, {}, {})",
    ]);
    assert_eq!(world.stored::<String>("last").as_deref(), Some("Async.VM.start"));
    world.answer("VM.copy", Answer::fault(Fault::Transport, "UNREACHABLE", []));
    world
        .task("x", Ending::Lost)
        .deliver()
        .assert_retries("UNREACHABLE")
        .assert_calls(["VM.copy(web, \"a copy\", null)"]);
}

#[test]
fn what_xapi_does_not_have_is_an_error_with_what_was_meant() {
    let run = world().connection(Connection::Resynced).deliver();
    run.assert_done().assert_logged("UNKNOWN_METHOD").assert_logged("did you mean `start`?");
    run.assert_logged("ARGUMENT_COUNT").assert_logged("VM.add_tags: None Some(\"NOT_ASYNCHRONOUS\")");
    run.assert_logged("UNKNOWN_FIELD").assert_logged("did you mean `power_state`?");
}

#[test]
fn a_slip_of_the_test_is_told_with_what_was_meant() {
    type Slip = (fn(&mut World<Probe>), &'static str);
    let slips: [Slip; 9] = [
        (|world| drop(world.modify("VMM", "web")), "no class `VMM`; did you mean `VM`?"),
        (|world| drop(world.modify("VM", "wbe")), "no VM \"wbe\"; did you mean `web`?"),
        (
            |world| drop(world.modify("VM", "web").set("tag", "x").deliver()),
            "no field `tag`; did you mean `tags`?",
        ),
        (
            |world| drop(world.modify("VM", "web").set("power_state", "Runing").deliver()),
            "did you mean `Running`?",
        ),
        (|world| drop(world.modify("VM", "web").set("tags", "x").deliver()), "VM.tags: it is a list"),
        (|world| drop(world.modify("VM", "web").deliver()), "is as it was"),
        (
            |world| drop(world.modify("VM", "web").set("tags", ["x"]).deliver()),
            "no subscription of probe hears VM modified in tags",
        ),
        (
            |world| drop(world.alert("X", "VM", "web").priority(3).deliver()),
            "no subscription of probe hears the alert X",
        ),
        (
            |world| {
                world.setting("greting", "x");
            },
            "did you mean `greeting`?",
        ),
    ];
    for (slip, wanted) in slips {
        let told = catch_unwind(AssertUnwindSafe(|| slip(&mut world()))).unwrap_err();
        assert!(said(&*told).contains(wanted), "{wanted:?} is not in {:?}", said(&*told));
    }
    let broken =
        catch_unwind(|| World::<Probe>::new("[[VM]]\nresident_on = \"nowhere\"\nmemory_target = \"much\""))
            .unwrap_err();
    assert!(said(&*broken).contains("the world has no host \"nowhere\""), "{}", said(&*broken));
    assert!(said(&*broken).contains("VM.memory_target: it is a whole number"), "{}", said(&*broken));
}

/// The words of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap()
}
