//! What every run of the daemon goes through: it follows, the pool changes, all of it is taken in and settled.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::daemon::Daemon;
use crate::ledger::Ledger;
use crate::stage::Stage;

/// How long the daemon may take to deliver all that happened.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program on its stage.
pub(crate) struct Walk<'s> {
    program: &'s Path,
    stage: &'s Stage,
}

impl<'s> Walk<'s> {
    /// Of this program.
    pub(crate) fn on(program: &'s Path, stage: &'s Stage) -> Self {
        Walk { program, stage }
    }

    /// A daemon that has the whole picture and follows changes.
    pub(crate) async fn following(&self) -> Result<Daemon> {
        self.followed_by(Daemon::start(self.program, &self.stage.config())?).await
    }

    /// The same of one whose threads are all on one core.
    pub(crate) async fn following_on_one_core(&self) -> Result<Daemon> {
        self.followed_by(Daemon::start_on_one_core(self.program, &self.stage.config())?).await
    }

    async fn followed_by(&self, mut daemon: Daemon) -> Result<Daemon> {
        let polls = self.stage.polls();
        daemon.says("compared the whole pool").await?;
        // It asks for changes only when the picture is durable.
        self.stage.polled(polls, 2).await?;
        Ok(daemon)
    }

    /// Returns when every change so far is in the journal.
    pub(crate) async fn everything_taken(&self) -> Result<()> {
        // The daemon either waits for an answer, which the first of these changes brings together with all before it,
        // or still takes in an earlier answer; then the next poll brings all that. The second change ends that poll
        // in either case, and the one after it tells that what came is durable.
        let polls = self.stage.polls();
        for more in [1, 2] {
            self.stage.change(0, &format!("poll {polls} and {more}"))?;
            self.stage.polled(polls, more).await?;
        }
        Ok(())
    }

    /// Changes every VM, so many times, each time as soon as the daemon polls again.
    pub(crate) async fn change_all(&self, rounds: usize) -> Result<()> {
        for round in 0..rounds {
            let text = format!("changed in round {round}");
            for vm in 0..self.stage.vms() {
                self.stage.change(vm, &text)?;
            }
            self.stage.polled(self.stage.polls(), 1).await?;
        }
        Ok(())
    }

    /// Returns when every plugin has dealt with every change of a VM up to this event.
    pub(crate) async fn settled(&self, ledger: &Ledger, last: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for plugin in self.stage.plugins() {
            while !ledger.settled(plugin, last)? {
                ensure!(Instant::now() < deadline, "{plugin} has not got all events in time");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }
}
