//! How many events a second the daemon takes for good with all its threads on one core, for one plugin and for many, and what an
//! event takes of the journal.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::ledger::Ledger;
use crate::row::Row;
use crate::stage::Stage;
use crate::walk::Walk;

/// How much is done.
pub(crate) struct Plan {
    vms: usize,
    /// Plugins, and how often every VM is changed for them.
    fleets: &'static [(usize, usize)],
}

impl Plan {
    /// For figures.
    pub(crate) const WHOLE: Plan = Plan { vms: 1000, fleets: &[(1, 20), (10, 10), (100, 2)] };
    /// To see that it works.
    pub(crate) const QUICK: Plan = Plan { vms: 50, fleets: &[(1, 2), (10, 1), (100, 1)] };
}

/// Measures each number of plugins in a folder of its own.
pub(crate) async fn measure(daemon: &Path, plugin: &Path, folder: &Path, plan: &Plan) -> Result<Vec<Row>> {
    let asked = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !asked.is_ok_and(|status| status.success()) {
        println!("==> no taskset: the daemon on one core is left out");
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for (plugins, rounds) in plan.fleets {
        println!("==> the daemon on one core: {} changes for {plugins} plugins", rounds * plan.vms);
        rows.extend(fleet(daemon, plugin, folder, plan.vms, *plugins, *rounds).await?);
    }
    Ok(rows)
}

async fn fleet(
    daemon: &Path,
    plugin: &Path,
    folder: &Path,
    vms: usize,
    plugins: usize,
    rounds: usize,
) -> Result<Vec<Row>> {
    let stage = Stage::set(plugin, folder, vms, plugins).await?;
    let walk = Walk::on(daemon, &stage);
    let running = walk.following_on_one_core().await?;
    let ledger = Ledger::open(&stage.state())?;
    let (first, used, begun) = (ledger.last()?, ledger.used_bytes()?, Instant::now());
    walk.change_all(rounds).await?;
    walk.everything_taken().await?;
    let (events, last) = ledger.vm_changes_after(first)?;
    walk.settled(&ledger, last).await?;
    let took = begun.elapsed().as_secs_f64();
    let dead = ledger.dead_letters()?;
    ensure!(dead == 0, "{dead} deliveries were given up");
    // With the cursors noted nothing is left of the deliveries.
    running.stop().await?;
    let ledger = Ledger::open(&stage.state())?;
    let grown = ledger.used_bytes()?.checked_sub(used).context("the journal has become smaller")?;
    let journaled = ledger.last()? - first;
    stage.strike().await?;

    println!("    {} deliveries/s", (events as f64 * plugins as f64 / took).round());
    let name = if plugins == 1 { "1 plugin".to_owned() } else { format!("{plugins} plugins") };
    let mut rows = vec![Row::new(format!("on one core, {name}"), events as f64 / took, "events/s")];
    if plugins == 1 {
        rows.push(Row::new("journal", grown as f64 / journaled as f64, "bytes an event"));
    }
    Ok(rows)
}
