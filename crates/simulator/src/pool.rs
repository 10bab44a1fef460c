//! One pool: its database, sessions, tasks and alerts, and the one clock that everything follows.
//!
//! Pure: moments are passed in, nothing here waits. Calls come in through [`Pool::call`], time through
//! [`Pool::advance`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use smol_str::SmolStr;
use xapi::{NULL_REF, Struct, Value};

use crate::churn::Churn;
use crate::clock::{Clock, Moment, Schedule};
use crate::database::Database;
use crate::doors::Identity;
use crate::messages::Messages;
use crate::options::Options;
use crate::random::Random;
use crate::roles::User;
use crate::scenario::{Due, Log};
use crate::session::Sessions;
use crate::tasks::Jobs;
use crate::trouble::{Calls, Trouble};

/// xapi looks for what to throw away this often.
const COLLECT_EVERY: Duration = Duration::from_secs(30);
/// Crashes do not come faster than this, or time would never pass.
const CRASH_EVERY_MIN: Duration = Duration::from_millis(1);

/// All of a pool. Not to be shown as text: it holds sessions and arguments.
pub(crate) struct Pool {
    pub(crate) database: Database,
    pub(crate) sessions: Sessions,
    pub(crate) messages: Messages,
    pub(crate) jobs: Jobs,
    pub(crate) schedule: Schedule<Step>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) options: Options,
    pub(crate) trouble: Trouble,
    pub(crate) calls: Calls,
    /// The certificates that hosts serve.
    pub(crate) identities: HashMap<SmolStr, Identity>,
    /// Who may log in beside the user of the options.
    pub(crate) users: Vec<User>,
    /// What the guest agent of a VM that is not running last said, by VM.
    pub(crate) dormant_guests: HashMap<SmolStr, Struct>,
    /// Hosts that do not answer, whether or not the pool knows.
    pub(crate) dark_hosts: BTreeSet<SmolStr>,
    /// Loads that somebody asked for.
    pub(crate) churns: Vec<Churn>,
    /// How late the present step is done.
    pub(crate) late: Duration,
    /// What scenarios did.
    pub(crate) log: Log,
    /// Changes whenever somebody who waits should look again.
    pub(crate) stirs: u64,
}

/// Something that happens by itself at its time.
#[derive(Debug)]
pub(crate) enum Step {
    /// An asynchronous call begins its work.
    Begin(SmolStr),
    /// A task has come so far.
    Progress(SmolStr, f64),
    /// A task's work is done.
    Finish(SmolStr),
    /// A task's status is written, after all else.
    Settle(SmolStr),
    /// A synchronous call's task goes.
    Discard(SmolStr),
    /// The guest agent of a VM that was started in this domain speaks up.
    GuestUp(SmolStr, i64),
    /// A host has booted.
    HostUp(SmolStr),
    /// This host becomes the coordinator.
    Promote(SmolStr),
    /// A silent host is taken for dead.
    HostLost(SmolStr),
    /// A host serves another certificate.
    Serve(SmolStr, Box<Identity>),
    /// A step of a scenario.
    Scenario(Due),
    /// Changes of a load that somebody asked for.
    Churn(u64),
    /// A running VM crashes, and later another.
    CrashOne,
    /// Sessions, tasks that nobody needs are thrown away.
    Collect,
}

impl Pool {
    /// A pool of these rows.
    pub(crate) fn new(database: Database, random: Random, options: Options, epoch: jiff::Timestamp) -> Self {
        let seed = options.seed;
        let mut schedule = Schedule::new();
        schedule.add(COLLECT_EVERY, Step::Collect);
        if let Some(every) = options.crash_every {
            schedule.add(every.max(CRASH_EVERY_MIN), Step::CrashOne);
        }
        Pool {
            database,
            sessions: Sessions::new(),
            messages: Messages::default(),
            jobs: Jobs::new(),
            schedule,
            clock: Clock::new(epoch, options.speed),
            random,
            options,
            trouble: Trouble::new(seed),
            calls: Calls::default(),
            identities: HashMap::new(),
            users: Vec::new(),
            dormant_guests: HashMap::new(),
            dark_hosts: BTreeSet::new(),
            churns: Vec::new(),
            late: Duration::ZERO,
            log: Log::default(),
            stirs: 0,
        }
    }

    /// Lets everything happen that is due by now, and tells when the next thing is due.
    ///
    /// A step per call of the closure's owner would be closer to xapi's many threads; one lock for all due steps is
    /// why the last write of a task is a step of its own.
    pub(crate) fn advance(&mut self, now: Moment) -> Option<Moment> {
        while let Some((at, step)) = self.schedule.due(now) {
            // At its own moment, however late we are: what follows from it then does not depend on how late.
            self.clock.set(at);
            self.late = now.saturating_sub(at);
            self.take(step);
            self.keep_allowed();
        }
        self.clock.set(now);
        self.schedule.next_at()
    }

    /// The host that answers calls; the first one in a database whose pool names none that is there.
    pub(crate) fn coordinator(&self) -> SmolStr {
        let pools = self.database.table("pool").and_then(|table| table.rows.keys().next());
        let named = pools.map(|pool| self.database.text("pool", pool, "master")).unwrap_or_default();
        if self.database.row("host", named).is_some() {
            return named.into();
        }
        let first = self.database.table("host").and_then(|table| table.rows.keys().next());
        first.cloned().unwrap_or(SmolStr::new_static(NULL_REF))
    }

    /// Raises an alert on an object.
    pub(crate) fn alert(
        &mut self,
        name: &str,
        priority: i64,
        class: &str,
        uuid: &str,
        body: String,
    ) -> SmolStr {
        let reference = self.random.reference();
        let record: Struct = [
            ("uuid", Value::String(self.random.uuid())),
            ("name", name.into()),
            ("priority", Value::Int(priority)),
            ("cls", class.into()),
            ("obj_uuid", uuid.into()),
            ("timestamp", self.clock.date()),
            ("body", body.into()),
        ]
        .into_iter()
        .map(|(name, value)| (SmolStr::new_static(name), value))
        .collect();
        let generation = self.database.bump();
        self.messages.add(generation, reference.clone(), record);
        reference
    }

    /// What xapi's restart does to its memory: sessions, tasks and deletions are gone, every row looks new.
    pub(crate) fn restart(&mut self) {
        self.restart_losing(0);
    }

    /// The same, when the state that is loaded is older by so many changes' numbers: the counter goes back.
    pub(crate) fn restart_losing(&mut self, lost: u32) {
        for class in ["session", "task"] {
            let gone: Vec<SmolStr> = self
                .database
                .table(class)
                .map(|table| table.rows.keys().cloned().collect())
                .unwrap_or_default();
            for reference in gone {
                self.database.delete(class, &reference);
            }
        }
        self.sessions.clear();
        self.abandon_jobs();
        self.messages.forget_deletions();
        let generation = self.database.generation().saturating_sub(lost.into()).max(1);
        self.database.restamp(generation);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(task) => self.begin(&task),
            Step::Progress(task, fraction) => self.progress(&task, fraction),
            Step::Finish(task) => self.finish(&task),
            Step::Settle(task) => self.settle(&task),
            Step::Discard(task) => self.discard(&task),
            Step::GuestUp(vm, domain) => self.guest_up(&vm, domain),
            Step::HostUp(host) => self.host_up(&host),
            Step::Promote(host) => self.promote(&host),
            Step::HostLost(host) => self.host_lost(&host),
            Step::Serve(host, identity) => _ = self.identities.insert(host, *identity),
            Step::Scenario(due) => self.take_due(due),
            Step::Churn(id) => self.churn(id),
            Step::CrashOne => {
                self.crash_one();
                if let Some(every) = self.options.crash_every {
                    self.schedule.add(self.clock.now() + every.max(CRASH_EVERY_MIN), Step::CrashOne);
                }
            }
            Step::Collect => {
                self.reap_sessions();
                self.reap_tasks();
                self.schedule.add(self.clock.now() + COLLECT_EVERY, Step::Collect);
            }
        }
    }
}
