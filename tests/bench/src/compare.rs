//! One step of the event stream: a batch in which every one of a thousand VMs has changed.

use anyhow::{Context as _, Result, ensure};
use smol_str::format_smolstr;
use xapi::Value;
use xapi::events::{Batch, Input, Operation, RawEvent, Stream};
use xapi::model::World;

use crate::codec_xml::per_second;
use crate::recorded;
use crate::row::Row;
use crate::timing::Rounds;

const VMS: usize = 1000;

/// Takes the batch in, over and over, against the same world.
pub(crate) fn measure(rounds: Rounds) -> Result<Vec<Row>> {
    let recorded = recorded::batch()?;
    let vm =
        recorded.events.iter().find(|event| event.class == "vm").context("the recorded reply has no VM")?;
    let mut world = World::new();
    let first = batch(vm, Operation::Added, "before");
    let step = Stream::new(["VM".into()]).step(&world, Input::Batch(first));
    for change in step.changes {
        change.apply(&mut world);
    }
    let changed = batch(vm, Operation::Modified, "after");
    let told = step.next.step(&world, Input::Batch(changed.clone())).events.len();
    ensure!(told == VMS, "{told} of {VMS} changes were told");

    let took = rounds.quickest(|| Input::Batch(changed.clone()), |input| step.next.step(&world, input));
    Ok(vec![Row::new("one step over 1,000 changed VMs", per_second(VMS, took), "events/CPU s")])
}

fn batch(vm: &RawEvent, operation: Operation, description: &str) -> Batch {
    let event = |number: usize| {
        let mut event = vm.clone();
        event.operation = operation;
        event.reference = format_smolstr!("OpaqueRef:00000000-0000-0000-0000-{number:012}");
        if let Some(record) = event.snapshot.as_mut().map(std::sync::Arc::make_mut) {
            record.reference = event.reference.clone();
            record.set("uuid", Value::String(format_smolstr!("00000000-0000-0000-0001-{number:012}")));
            record.set("name_description", description);
        }
        event
    };
    let counts = [("vm".into(), VMS as i64)].into_iter().collect();
    Batch { events: (0..VMS).map(event).collect(), counts, token: "token".into() }
}
