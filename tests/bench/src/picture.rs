//! A whole pool of any size, of real shape: the recorded reply's objects over and over, each with a reference and uuid
//! of its own.

use anyhow::{Context as _, Result};
use smol_str::format_smolstr;
use xapi::codec::{Limits, xml};
use xapi::events::Batch;
use xapi::{Struct, Value};

use crate::recorded;

/// The XML-RPC body of a first picture with objects of these numbers.
pub(crate) fn body(numbers: std::ops::Range<usize>) -> Result<Vec<u8>> {
    let Value::Struct(mut members) = recorded::value()? else {
        anyhow::bail!("the recorded reply is no struct")
    };
    let Some(Value::Array(recorded)) = members.remove("events") else { anyhow::bail!("it has no events") };
    let events = numbers.zip(recorded.iter().cycle()).map(|(number, event)| renumbered(event, number));
    members.insert("events", Value::Array(events.collect::<Result<_>>()?));
    Ok(xml::encode_reply(&Ok(Value::Struct(members))).into_bytes())
}

/// The reply decoded and taken apart.
pub(crate) fn read(body: &[u8]) -> Result<Batch> {
    let reply = xml::decode_reply(body, &Limits::default()).context("decoding the picture")?;
    let value = reply.map_err(|failure| anyhow::anyhow!("the picture is a refusal: {failure}"))?;
    Batch::read(value).context("reading the picture")
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
