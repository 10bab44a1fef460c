//! Our client beside the ones that others use, each a process of its own that polls the same server and gets the same
//! bytes. What counts is the CPU time of that process from the request to values in its own language.

#[path = "../../../clients.rs"]
mod install;
mod ours;
mod server;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

pub(crate) use self::ours::Polling;
use self::server::Objects;
use crate::recorded;
use crate::row::{Goal, Row};

/// How often a client polls before it counts, while it counts, and how many times all of it is done.
struct Plan {
    warming: u32,
    polls: u32,
    runs: u32,
}

/// Fetches the others into a folder below `beside`, and lets each poll.
pub(crate) fn measure(beside: &Path, quick: bool) -> Result<Vec<Row>> {
    let bench = std::env::current_exe().context("finding this program")?;
    let ours = |wire: &str, url: &str| {
        let mut command = Command::new(&bench);
        command.args(["client", wire, url]);
        command
    };
    let url = format!("http://{}", server::start(Objects::New)?);
    let short = Plan { warming: 2, polls: 3, runs: 1 };
    // Python takes its time and is as quick at once; Node's compiler needs some rounds.
    let plan = if quick { short } else { Plan { warming: 5, polls: 30, runs: 3 } };
    let python = install::xenapi(beside)?.map(|folder| {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", folder).args(["-c", include_str!("xenapi.py"), &url]);
        (format!("XenAPI {} of PyPI", install::XENAPI), command)
    });
    let xml = row("event.from over XML-RPC, by a client", ours("xml", &url), python, Some(10.0), &plan)?;

    let plan = if quick { plan } else { Plan { warming: 200, polls: 300, runs: 7 } };
    let node = install::xen_api(beside)?;
    let node = |url: &str| {
        let Some(folder) = &node else { return Ok(None) };
        // A module finds its packages from where it lies.
        let script = folder.join("poll.mjs");
        std::fs::write(&script, include_str!("xen_api.mjs")).context("writing the script for Node")?;
        let mut command = Command::new("node");
        command.arg(script).arg(url);
        anyhow::Ok(Some((format!("xen-api {} of npm", install::XEN_API), command)))
    };
    let name = "event.from over JSON-RPC, by a client";
    let json = row(name, ours("json", &url), node(&url)?, Some(3.0), &plan)?;
    let url = format!("http://{}", server::start(Objects::Unlike)?);
    let name = "the same, no two objects alike";
    let unlike = row(name, ours("json", &url), node(&url)?, None, &plan)?;
    let url = format!("http://{}", server::start(Objects::Same)?);
    let name = "the same answer again over JSON-RPC";
    let again = row(name, ours("json", &url), node(&url)?, Some(3.0), &plan)?;
    Ok(vec![xml, json, unlike, again])
}

fn row(
    name: &str,
    ours: Command,
    other: Option<(String, Command)>,
    goal: Option<f64>,
    plan: &Plan,
) -> Result<Row> {
    let (mut best, mut best_other) = (0_f64, 0_f64);
    let (what, mut other) = other.map_or((None, None), |(what, command)| (Some(what), Some(command)));
    let mut ours = ours;
    for command in [&mut ours].into_iter().chain(&mut other) {
        command.args([plan.warming.to_string(), plan.polls.to_string()]);
    }
    for _ in 0..plan.runs {
        best = best.max(polled(&mut ours, plan)?);
        if let Some(other) = &mut other {
            best_other = best_other.max(polled(other, plan)?);
        }
    }
    let row = Row::new(name, best, "events/CPU s");
    let row = match what {
        Some(what) => row.against(what, best_other),
        None => return Ok(row),
    };
    Ok(match goal {
        Some(goal) => row.goal(Goal::Times(goal)),
        None => row,
    })
}

/// Events for each second of CPU time.
fn polled(client: &mut Command, plan: &Plan) -> Result<f64> {
    let name = client.get_program().display().to_string();
    let output = client.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("starting {name}"))?;
    ensure!(output.status.success(), "{name} failed as a client: {}", output.status);
    let told: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("reading what {name} prints"))?;
    let events = told["events"].as_u64().context("a client tells no number of events")?;
    let expected = recorded::batch()?.events.len() as u64 * u64::from(plan.polls);
    ensure!(events == expected, "{name} got {events} events, there were {expected}");
    let seconds = told["seconds"].as_f64().context("a client tells no CPU time")?;
    Ok(events as f64 / seconds)
}
