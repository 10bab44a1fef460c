//! The same XML-RPC reply decoded by Python's own library, which is what scripts against XAPI use.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use xapi::codec::Limits;
use xapi::events::Batch;

use crate::codec_xml::per_second;
use crate::recorded;
use crate::row::{Goal, Row};
use crate::timing::Rounds;

/// Reads the body from its input, decodes it a few times, and prints the number of events and the least CPU time.
const SCRIPT: &str = "
import sys, time, xmlrpc.client
body = sys.stdin.buffer.read()
least = None
for _ in range(int(sys.argv[1])):
    begun = time.process_time()
    (reply,), _ = xmlrpc.client.loads(body)
    took = time.process_time() - begun
    least = took if least is None else min(least, took)
print(len(reply['Value']['events']), least)
";

/// Decodes the recorded reply in both languages. Without Python there is nothing to compare with.
pub(crate) fn measure(rounds: Rounds) -> Result<Vec<Row>> {
    let body = recorded::xml_body()?;
    let expected = recorded::batch()?.events.len();
    let ours = || Batch::decode_xml(body, &Limits::default());
    let took = rounds.quickest(|| (), |()| ours());
    let row = Row::new("events out of an XML-RPC reply", per_second(expected, took), "events/CPU s");
    let Some((events, python)) = decoded_by_python(body, rounds.few())? else {
        println!("    no python3 here: that comparison is left out");
        return Ok(vec![row]);
    };
    ensure!(events == expected, "Python sees {events} events in the recorded reply, we see {expected}");
    Ok(vec![row.against("Python's xmlrpc.client", per_second(events, python)).goal(Goal::Times(10.0))])
}

fn decoded_by_python(body: &[u8], rounds: Rounds) -> Result<Option<(usize, Duration)>> {
    let child = Command::new("python3")
        .args(["-c", SCRIPT, &rounds.0.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("starting python3"),
    };
    // Python prints only after it has read everything, so neither side waits for the other.
    child
        .stdin
        .take()
        .context("python3 has no input")?
        .write_all(body)
        .context("handing the reply to python3")?;
    let output = child.wait_with_output().context("waiting for python3")?;
    ensure!(output.status.success(), "python3 ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let events = words.next().and_then(|word| word.parse().ok());
    let seconds = words.next().and_then(|word| word.parse().ok());
    let events = events.with_context(|| format!("python3 printed {text:?}"))?;
    let seconds: f64 = seconds.with_context(|| format!("python3 printed {text:?}"))?;
    Ok(Some((events, Duration::from_secs_f64(seconds))))
}
