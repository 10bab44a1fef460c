//! Whether the daemon's memory stays what it is: events at an even pace for a long time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::ledger::Ledger;
use crate::row::{Goal, Row};
use crate::stage::Stage;
use crate::walk::Walk;

/// Events a second.
const PACE: u32 = 200;
/// Enough that no VM changes twice between two polls.
const VMS: usize = 1000;
/// When memory is first looked at, or after a sixth of a shorter run.
const WARM: Duration = Duration::from_secs(300);
/// By how much it may grow from there, MB.
const GROWTH: f64 = 5.0;

/// Follows a pool that changes for so many minutes.
pub(crate) async fn measure(daemon: &Path, plugin: &Path, folder: &Path, minutes: f64) -> Result<Vec<Row>> {
    println!("==> {PACE} events a second for {minutes} min");
    let stage = Stage::set(plugin, folder, VMS, 1).await?;
    let walk = Walk::on(daemon, &stage);
    let running = walk.following().await?;
    let ledger = Ledger::open(&stage.state())?;
    let first = ledger.last()?;
    let time = Duration::from_secs_f64(minutes * 60.0);
    let warm = WARM.min(time / 6);

    let begun = Instant::now();
    let mut warm_memory = None;
    let mut pace = interval(Duration::from_secs(1) / PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_usize.. {
        pace.tick().await;
        let passed = begun.elapsed();
        if warm_memory.is_none() && passed >= warm {
            warm_memory = Some(running.memory()?.now);
        }
        if passed >= time {
            break;
        }
        stage.change(number, &format!("change {number}"))?;
    }
    let end_memory = running.memory()?;
    walk.everything_taken().await?;
    let (events, last) = ledger.vm_changes_after(first)?;
    walk.settled(&ledger, last).await?;
    let dead = ledger.dead_letters()?;
    ensure!(dead == 0, "{dead} deliveries were given up");
    running.stop().await?;
    stage.strike().await?;

    let warm_memory = warm_memory.unwrap_or(end_memory.now);
    let after = |time: Duration| format!("{:.1} min", time.as_secs_f64() / 60.0);
    Ok(vec![
        Row::new(format!("soak, after {}", after(warm)), warm_memory, "MB"),
        Row::new(format!("soak, at the end, after {}", after(time)), end_memory.now, "MB")
            .against("before", warm_memory)
            .goal(Goal::AtMostMore(GROWTH)),
        Row::new("soak, events", events as f64 / time.as_secs_f64(), "events/s"),
    ])
}
