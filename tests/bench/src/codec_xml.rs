//! XML-RPC: our decoder, down to single events, beside the bare event loop of the XML reader that it stands on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use quick_xml::Reader;
use quick_xml::events::Event;
use xapi::codec::{Limits, xml};
use xapi::events::Batch;

use crate::recorded;
use crate::row::{Goal, Row};
use crate::timing::Rounds;

/// Decodes the recorded reply both ways.
pub(crate) fn measure(rounds: Rounds) -> Result<Vec<Row>> {
    let body = recorded::xml_body()?;
    let text = std::str::from_utf8(body).context("reading the recorded reply as text")?;
    let seen = count_events(text)?;
    ensure!(seen > 10_000, "the reader saw only {seen} events");

    let ours = || Batch::decode_xml(body, &Limits::default());
    let (took, bare) = rounds.side_by_side(ours, || count_events(text));
    let alone = rounds.quickest(|| (), |()| xml::decode_reply(body, &Limits::default()));
    Ok(vec![
        Row::new("XML-RPC reply to events", megabytes(body, took), "MB/CPU s")
            .against("quick-xml's event loop", megabytes(body, bare))
            .goal(Goal::Times(0.5)),
        Row::new("XML-RPC reply to a value", megabytes(body, alone), "MB/CPU s")
            .against("quick-xml's event loop", megabytes(body, bare)),
    ])
}

/// Millions of bytes a second.
pub(crate) fn megabytes(body: &[u8], took: Duration) -> f64 {
    per_second(body.len(), took) / 1e6
}

/// Things a second.
pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn count_events(text: &str) -> Result<u64> {
    let mut reader = Reader::from_str(text);
    let mut count = 0;
    loop {
        match reader.read_event().context("reading the recorded reply as XML")? {
            Event::Eof => return Ok(count),
            _ => count += 1,
        }
    }
}
