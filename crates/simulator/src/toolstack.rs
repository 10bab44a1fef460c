//! The toolstack of every host: it answers, or it is on its way through a restart.
//!
//! ```text
//!            by script                     by itself (new role, crash)
//! Answering ----------> Stopped --.     Answering ------------.
//!     ^                           v                           v
//!     `----------------------- Loading <----------------------'
//! ```
//!
//! `Stopped`: nobody listens anywhere. `Loading`: the TLS front is there and xapi is not, so HTTPS takes connections and
//! closes them without a word, while plain HTTP and the Unix socket refuse. What a call was waiting for is never told:
//! its connection ends. Then xapi answers, long before it has looked at everything again: what may be done with objects
//! is written last, as a wave of changes.

use std::collections::HashMap;
use std::time::Duration;

use smol_str::SmolStr;
use xapi::{Struct, Value};

use crate::clock::Moment;
use crate::dispatch::Door;
use crate::operation::allowed::LOOKED_AT;
use crate::pool::{Pool, Step};

/// How long nobody listens; seconds at speed 1, as the next two.
const STOPPED: f64 = 1.0;
/// How long xapi takes to load its database.
const LOADING: f64 = 2.0;
/// From its first answer until it has looked at all objects.
const LOOKING: f64 = 1.0;

/// Where a host's toolstack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// It takes calls.
    #[default]
    Answering,
    /// Nobody listens.
    Stopped,
    /// The TLS front listens and has nobody to pass a connection on to.
    Loading,
}

/// What its doors must know of a toolstack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Toolstack {
    pub(crate) phase: Phase,
    /// Goes up with each restart; what was begun under an earlier one is never answered.
    pub(crate) run: u64,
}

/// The toolstacks of all hosts that ever restarted theirs.
pub(crate) type Toolstacks = HashMap<SmolStr, Toolstack>;

/// What brings a toolstack down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Somebody restarts all of it, its TLS front first.
    ByScript,
    /// xapi alone ends, for a new role or by a crash.
    ByItself,
}

impl Pool {
    /// The toolstack behind a door. The Unix socket is the coordinator's.
    pub(crate) fn toolstack(&self, door: &Door) -> Toolstack {
        let found = match door {
            Door::Network(host) => self.toolstacks.get(host),
            Door::Local => self.toolstacks.get(&self.coordinator()),
        };
        found.copied().unwrap_or_default()
    }

    /// Restarts the coordinator's toolstack: sessions, tasks and remembered deletions are gone, every row looks new.
    pub(crate) fn restart(&mut self, way: Restart) {
        self.restart_losing(way, 0);
    }

    /// The same, when the state that is loaded is older by so many changes' numbers: the counter goes back.
    pub(crate) fn restart_losing(&mut self, way: Restart, lost: u32) {
        let coordinator = self.coordinator();
        self.restart_host(&coordinator, way);
        // What is forgotten was not stored, so forgetting it counts as no change, but for one: what is loaded is newer
        // than anything that was told.
        let generation = (self.database.generation() + 1).saturating_sub(lost.into()).max(1);
        self.forget();
        self.database.restamp(generation);
        let at = self.clock.now() + down(&self.clock, way) + brief(&self.clock, LOOKING);
        self.schedule.add(at, Step::LookAgain);
    }

    /// `host.restart_agent`, once its answer is out.
    pub(crate) fn restart_agent(&mut self, host: &str) {
        if self.is_coordinator(host) {
            self.restart(Restart::ByScript);
        } else if self.database.row("host", host).is_some() {
            self.restart_host(host, Restart::ByScript);
        }
    }

    /// Takes one host's toolstack down; it comes up by itself. Its doors close, the pool's state stays.
    pub(crate) fn restart_host(&mut self, host: &str, way: Restart) {
        self.local_sessions.retain(|_, of| of != host);
        let toolstack = self.toolstacks.entry(host.into()).or_default();
        toolstack.run += 1;
        toolstack.phase = match way {
            Restart::ByScript => Phase::Stopped,
            Restart::ByItself => Phase::Loading,
        };
        let run = toolstack.run;
        let now = self.clock.now();
        if way == Restart::ByScript {
            let at = now + brief(&self.clock, STOPPED);
            self.schedule.add(at, Step::Toolstack(host.into(), Toolstack { phase: Phase::Loading, run }));
        }
        let at = now + down(&self.clock, way);
        self.schedule.add(at, Step::Toolstack(host.into(), Toolstack { phase: Phase::Answering, run }));
        self.stirs += 1;
    }

    /// A restart comes to its next phase, unless another one has begun since.
    pub(crate) fn next_phase(&mut self, host: &str, next: Toolstack) {
        if let Some(toolstack) = self.toolstacks.get_mut(host)
            && toolstack.run == next.run
        {
            *toolstack = next;
            self.stirs += 1;
        }
    }

    /// What lives in xapi's memory alone is gone: rows and fields that are not stored, and whatever was under way.
    pub(crate) fn forget(&mut self) {
        self.abandon_jobs();
        self.sessions.clear();
        self.owners.clear();
        self.stalled.clear();
        self.legacy.forget();
        self.messages.forget_deletions();
        let passing: Vec<(&'static str, Vec<SmolStr>)> = self
            .database
            .tables()
            .iter()
            .filter(|table| !table.entry.class.persistent)
            .map(|table| (table.entry.class.name, table.rows.keys().cloned().collect()))
            .collect();
        for (class, rows) in passing {
            for row in rows {
                self.database.delete(class, &row);
            }
        }
        for (class, _) in LOOKED_AT {
            let rows = self.database.table(class).map(|table| table.rows.keys().cloned().collect::<Vec<_>>());
            for row in rows.unwrap_or_default() {
                self.database.write(class, &row, "current_operations", Value::Struct(Struct::new()));
                self.database.write(class, &row, "allowed_operations", Value::Array(Vec::new()));
            }
        }
        // Nobody judges these now: that comes when xapi looks at everything.
        self.database.take_changes();
    }
}

/// How long a restart keeps calls out.
pub(crate) fn down(clock: &crate::clock::Clock, way: Restart) -> Moment {
    match way {
        Restart::ByScript => brief(clock, STOPPED) + brief(clock, LOADING),
        Restart::ByItself => brief(clock, LOADING),
    }
}

/// A restart hangs on no guest and no disk: a pool that runs slower than nature does not restart slower.
fn brief(clock: &crate::clock::Clock, seconds: f64) -> Duration {
    clock.lasting(seconds).min(Duration::from_secs_f64(seconds))
}
