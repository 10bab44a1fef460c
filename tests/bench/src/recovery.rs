//! How long the daemon takes to be ready with a journal that grew large, all of which its plugin has still to be given.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use journal::{Append, Journal, NewEvent, Options};

use crate::daemon::Daemon;
use crate::row::{Goal, Row};
use crate::stage::{POOL, Stage};
use crate::timing::{millis, percentile};
use crate::walk::Walk;

/// Events of one append.
const PIECE: usize = 1000;

/// How much is done.
pub(crate) struct Plan {
    vms: usize,
    events: usize,
    starts: usize,
}

impl Plan {
    /// For figures.
    pub(crate) const WHOLE: Plan = Plan { vms: 1000, events: 1_000_000, starts: 3 };
    /// To see that it works.
    pub(crate) const QUICK: Plan = Plan { vms: 20, events: 5_000, starts: 1 };
}

/// Measures from the start of the process to its line `ready`.
pub(crate) async fn measure(daemon: &Path, plugin: &Path, folder: &Path, plan: &Plan) -> Result<Vec<Row>> {
    println!("==> starting with {} events in the journal", plan.events);
    let stage = Stage::set(plugin, folder, plan.vms, 1).await?;
    let walk = Walk::on(daemon, &stage);
    let running = walk.following().await?;
    stage.change(0, "as all that follow")?;
    walk.everything_taken().await?;
    running.stop().await?;
    fill(&stage, plan.events).await?;
    let mut ready = Vec::with_capacity(plan.starts);
    for _ in 0..plan.starts {
        let mut daemon = Daemon::start(daemon, &stage.config())?;
        ready.push(daemon.says("ready").await?);
        // At once: it has work for a while. The next start finds what this one did, and the rest.
        daemon.kill()?;
    }
    stage.strike().await?;
    let middle = percentile(&ready, 50).context("nothing was started")?;
    let name = format!("killed and started, {} events in the journal", plan.events);
    Ok(vec![Row::new(name, millis(middle), "ms").goal(Goal::AtMost(2000.0))])
}

/// Writes the last change of a VM once more, so many times.
async fn fill(stage: &Stage, events: usize) -> Result<()> {
    let journal = Journal::open(&stage.state(), &Options::default()).context("opening the journal")?;
    let position = journal.position(POOL).await?.context("the journal knows no position in the pool")?;
    let recent = journal.read(journal.last().saturating_sub(10), 10).await?;
    let change = recent.into_iter().rev().find(|event| event.kind == "change" && event.class == "VM");
    let change = change.context("no change of a VM is in the journal")?;
    let event = NewEvent {
        kind: change.kind,
        class: change.class,
        reference: change.reference,
        at_micros: change.at_micros,
        payload: change.payload,
    };
    let before = journal.last();
    for piece in (0..events).step_by(PIECE) {
        let append = Append {
            pool: POOL.to_owned(),
            position: position.clone(),
            events: vec![event.clone(); PIECE.min(events - piece)],
            objects: Vec::new(),
        };
        journal.append(append).await.context("filling the journal")?;
    }
    ensure!(journal.last() == before + events as u64, "not all events were written");
    journal.close().await.context("closing the journal")
}
