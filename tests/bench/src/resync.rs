//! Reading a whole pool again: ten thousand objects of real shape decoded and compared, nothing having changed.

use anyhow::{Context as _, Result, ensure};
use smol_str::format_smolstr;
use xapi::codec::{Limits, xml};
use xapi::events::{Batch, Event, Input, Step, Stream};
use xapi::model::World;
use xapi::{Struct, Value};

use crate::recorded;
use crate::row::{Goal, Row};
use crate::timing::Rounds;

const OBJECTS: usize = 10_000;

/// Decodes and compares the whole picture.
pub(crate) fn measure(rounds: Rounds) -> Result<Vec<Row>> {
    let body = picture()?;
    let mut world = World::new();
    let first = Stream::new(Stream::all_classes(), false).step(&world, Input::Batch(read(&body)?));
    for change in first.changes {
        change.apply(&mut world);
    }
    ensure!(world.len() == OBJECTS, "the picture has {} objects", world.len());
    let stream = first.next.after_new_session();
    let again = || -> Result<Step> { Ok(stream.step(&world, Input::Batch(read(&body)?))) };
    let told = again()?.events;
    let nothing_new = matches!(told.as_slice(), [Event::Resync(resync)] if resync.differences == 0);
    ensure!(nothing_new, "the same picture told {} events", told.len());

    let took = rounds.few().quickest(|| (), |()| again());
    let name = format!("resync of 10,000 objects ({:.0} MB of XML)", body.len() as f64 / 1e6);
    Ok(vec![Row::new(name, took.as_secs_f64(), "CPU s").goal(Goal::AtMost(1.0))])
}

fn read(body: &[u8]) -> Result<Batch> {
    let reply = xml::decode_reply(body, &Limits::default()).context("decoding the picture")?;
    let value = reply.map_err(|failure| anyhow::anyhow!("the picture is a refusal: {failure}"))?;
    Batch::read(value).context("reading the picture")
}

/// The recorded picture's objects over and over, each with a reference and uuid of its own.
fn picture() -> Result<Vec<u8>> {
    let Value::Struct(mut members) = recorded::value()? else {
        anyhow::bail!("the recorded reply is no struct")
    };
    let Some(Value::Array(recorded)) = members.remove("events") else { anyhow::bail!("it has no events") };
    let events =
        recorded.iter().cycle().take(OBJECTS).enumerate().map(|(number, event)| renumbered(event, number));
    members.insert("events", Value::Array(events.collect::<Result<_>>()?));
    Ok(xml::encode_reply(&Ok(Value::Struct(members))).into_bytes())
}

fn renumbered(event: &Value, number: usize) -> Result<Value> {
    let mut event: Struct = event.as_struct().context("a recorded event is no struct")?.clone();
    event.insert("ref", Value::String(format_smolstr!("OpaqueRef:00000000-0000-0000-0000-{number:012}")));
    if let Some(Value::Struct(fields)) = event.get_mut("snapshot")
        && let Some(uuid) = fields.get_mut("uuid")
    {
        *uuid = Value::String(format_smolstr!("00000000-0000-0000-0001-{number:012}"));
    }
    Ok(Value::Struct(event))
}
