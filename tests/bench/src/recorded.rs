//! The recorded reply that codecs are measured on: a pool's whole first picture, in both wires.

use anyhow::{Context as _, Result};
use xapi::Value;
use xapi::codec::{Limits, Reply, json, xml};
use xapi::events::Batch;

const XML: &[u8] =
    include_bytes!("../../../crates/xapi/tests/wire/39-event-from-empty-token-all.xml.response");
const JSON: &[u8] =
    include_bytes!("../../../crates/xapi/tests/wire/39-event-from-empty-token-all.json.response");

/// The XML-RPC reply, without its HTTP head.
pub(crate) fn xml_body() -> Result<&'static [u8]> {
    body(XML)
}

/// The JSON-RPC reply, without its HTTP head.
pub(crate) fn json_body() -> Result<&'static [u8]> {
    body(JSON)
}

/// The value of the XML-RPC reply.
pub(crate) fn value() -> Result<Value> {
    succeeded(xml::decode_reply(xml_body()?, &Limits::default()).context("decoding the recorded reply")?)
}

/// The value of the JSON-RPC reply.
pub(crate) fn json_value() -> Result<Value> {
    succeeded(json::decode_reply(json_body()?, &Limits::default()).context("decoding the recorded reply")?)
}

fn succeeded(reply: Reply) -> Result<Value> {
    reply.map_err(|failure| anyhow::anyhow!("the recorded reply is a refusal: {failure}"))
}

/// The XML-RPC reply, taken apart.
pub(crate) fn batch() -> Result<Batch> {
    Batch::read(value()?).context("reading the recorded reply")
}

fn body(response: &'static [u8]) -> Result<&'static [u8]> {
    let end =
        |mark: &[u8]| response.windows(mark.len()).position(|bytes| bytes == mark).map(|at| at + mark.len());
    let start =
        end(b"\r\n\r\n").or_else(|| end(b"\n\n")).context("the recorded reply has no end of its head")?;
    response.get(start..).context("the recorded reply has no body")
}
