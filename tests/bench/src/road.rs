//! The whole road: a pool changes, the daemon polls, decodes, compares, writes, delivers. Three runs of one daemon over
//! the same state: as much as it takes, a few starts, and single changes in a calm pool.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::daemon::{Closing, Daemon};
use crate::disk;
use crate::ledger::Ledger;
use crate::report::Report;
use crate::row::{Goal, Row};
use crate::stage::{CONCURRENCY, Stage};
use crate::timing::{millis, percentile};
use crate::walk::Walk;

/// How much is done.
pub(crate) struct Plan {
    vms: usize,
    /// Each changes every VM once.
    rounds: usize,
    starts: usize,
    idle: Duration,
    /// Single changes in a calm pool.
    changes: usize,
    /// Durable writes to compare with, before and after.
    writes: usize,
}

impl Plan {
    /// For figures.
    pub(crate) const WHOLE: Plan =
        Plan { vms: 1000, rounds: 20, starts: 5, idle: Duration::from_secs(10), changes: 400, writes: 300 };
    /// To see that it works.
    pub(crate) const QUICK: Plan =
        Plan { vms: 100, rounds: 3, starts: 1, idle: Duration::from_secs(1), changes: 30, writes: 30 };
}

/// Events a second that ansible-rulebook took with an action that does nothing, the better of what was seen on a
/// machine of two cores. It is not part of this run.
const RULEBOOK: f64 = 1100.0;
/// Between two single changes: the daemon is at rest in between.
const CALM: Duration = Duration::from_millis(60);

/// Measures the daemon and adds its rows.
pub(crate) async fn measure(
    daemon: &Path,
    plugin: &Path,
    folder: &Path,
    plan: &Plan,
    report: &mut Report,
) -> Result<()> {
    let stage = Stage::set(plugin, folder, plan.vms, 1).await?;
    let road = Road { program: daemon, stage: &stage, walk: Walk::on(daemon, &stage), plan };
    println!("==> {} changes of {} VMs, as fast as they are taken", plan.rounds * stage.vms(), stage.vms());
    report.add(road.flood().await?);
    println!("==> starting, {} times", plan.starts);
    report.add(road.starts().await?);
    println!("==> {} single changes in a calm pool, beside {} durable writes", plan.changes, 2 * plan.writes);
    report.add(road.calm().await?);
    stage.strike().await
}

struct Road<'s> {
    program: &'s Path,
    stage: &'s Stage,
    walk: Walk<'s>,
    plan: &'s Plan,
}

impl Road<'_> {
    async fn flood(&self) -> Result<Vec<Row>> {
        let daemon = self.walk.following().await?;
        let ledger = Ledger::open(&self.stage.state())?;
        let (before, cpu_before, begun) = (ledger.last()?, daemon.cpu()?, Instant::now());
        self.walk.change_all(self.plan.rounds).await?;
        self.walk.everything_taken().await?;
        let (events, last) = ledger.vm_changes_after(before)?;
        let journaled = begun.elapsed();
        self.walk.settled(&ledger, last).await?;
        let (took, cpu) = (begun.elapsed(), daemon.cpu()?.saturating_sub(cpu_before));
        let memory = daemon.memory()?;
        let dead = ledger.dead_letters()?;
        ensure!(dead == 0, "{dead} deliveries were given up");
        let closing = daemon.stop().await?;
        let made = self.plan.rounds * self.stage.vms();
        println!(
            "    {made} changes came as {events} events, all in the journal after {:.2} s, all delivered after {:.2} s",
            journaled.as_secs_f64(),
            took.as_secs_f64()
        );
        println!(
            "    under that load a delivery began {} after its reply at the median",
            shown(closing.start_p50)
        );
        let events = events as f64;
        Ok(vec![
            Row::new(
                format!("whole road to a no-op plugin, {CONCURRENCY} at once"),
                events / took.as_secs_f64(),
                "events/s",
            ),
            Row::new("whole road, pool to journal", events / journaled.as_secs_f64(), "events/s"),
            Row::new("whole road, by the daemon's CPU", events / cpu.as_secs_f64(), "events/CPU s")
                .against("ansible-rulebook, no-op action (an earlier run)", RULEBOOK)
                .goal(Goal::Times(20.0)),
            Row::new("memory at the most, under that load", memory.peak, "MB"),
        ])
    }

    async fn starts(&self) -> Result<Vec<Row>> {
        let mut ready = Vec::with_capacity(self.plan.starts);
        for _ in 0..self.plan.starts {
            let mut daemon = Daemon::start(self.program, &self.stage.config())?;
            ready.push(daemon.says("ready").await?);
            daemon.stop().await?;
        }
        let median = percentile(&ready, 50).context("nothing was started")?;
        let name = format!("start to ready, 1 plugin, {} VMs known", self.stage.vms());
        Ok(vec![Row::new(name, millis(median), "ms").goal(Goal::AtMost(300.0))])
    }

    async fn calm(&self) -> Result<Vec<Row>> {
        let daemon = self.walk.following().await?;
        let (cpu_before, begun) = (daemon.cpu()?, Instant::now());
        tokio::time::sleep(self.plan.idle).await;
        let cpu = daemon.cpu()?.saturating_sub(cpu_before).as_secs_f64() / begun.elapsed().as_secs_f64();
        let memory = daemon.memory()?;

        let mut writes = disk::durable_writes(self.stage.folder(), self.plan.writes)?;
        let ledger = Ledger::open(&self.stage.state())?;
        let before = ledger.last()?;
        for number in 0..self.plan.changes {
            self.stage.change(number, &format!("single change {number}"))?;
            // Not in step with anything that happens at intervals.
            tokio::time::sleep(CALM.mul_f64(1.0 + rand::random::<f64>() / 4.0)).await;
        }
        self.walk.everything_taken().await?;
        let (events, last) = ledger.vm_changes_after(before)?;
        self.walk.settled(&ledger, last).await?;
        let closing = daemon.stop().await?;
        writes.extend(disk::durable_writes(self.stage.folder(), self.plan.writes)?);

        let Closing { deliveries, start_p50, start_p99 } = closing;
        println!("    {events} events, {deliveries} deliveries timed");
        ensure!(deliveries >= events, "of {events} events only {deliveries} deliveries were timed");
        let write = |percent| percentile(&writes, percent).context("no write was timed").map(millis);
        let (write_p50, write_p99) = (write(50)?, write(99)?);
        let idle = format!("memory at rest, 1 pool of {} VMs, 1 plugin", self.stage.vms());
        Ok(vec![
            Row::new("reply to start of delivery, p50", millis(start_p50), "ms")
                .against("4 KiB written durably", write_p50)
                .goal(Goal::AtMostMore(0.5)),
            Row::new("reply to start of delivery, p99", millis(start_p99), "ms")
                .against("4 KiB written durably", write_p99)
                .goal(Goal::AtMostMore(3.0)),
            Row::new(idle, memory.now, "MB").goal(Goal::AtMost(60.0)),
            Row::new("work at rest", cpu * 100.0, "% of a core").goal(Goal::AtMost(0.5)),
        ])
    }
}

fn shown(duration: Duration) -> String {
    format!("{:.1} ms", millis(duration))
}
