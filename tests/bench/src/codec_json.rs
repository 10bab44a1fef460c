//! JSON-RPC: our decoder, down to single events, beside a parser's own tree of the same bytes.

use anyhow::{Context as _, Result};
use xapi::codec::{Limits, json};
use xapi::events::Batch;

use crate::codec_xml::{megabytes, per_second};
use crate::recorded;
use crate::row::Row;
use crate::timing::Rounds;

/// Decodes the recorded reply both ways.
pub(crate) fn measure(rounds: Rounds) -> Result<Vec<Row>> {
    let body = recorded::json_body()?;
    let value = recorded::json_value()?;
    let events = Batch::read(value.clone()).context("reading the recorded reply")?.events.len();

    let ours = || Batch::decode_json(body, &Limits::default());
    let (took, tree) = rounds.side_by_side(ours, || serde_json::from_slice::<serde_json::Value>(body));
    // As the journal keeps records.
    let written = json::encode_value(&value);
    let writing = rounds.quickest(|| (), |()| json::encode_value(&value));
    Ok(vec![
        Row::new("JSON-RPC reply to events", megabytes(body, took), "MB/CPU s")
            .against("serde_json's tree", megabytes(body, tree)),
        Row::new("events out of a JSON-RPC reply", per_second(events, took), "events/CPU s"),
        Row::new("JSON text of a value", megabytes(written.as_bytes(), writing), "MB/CPU s"),
    ])
}
