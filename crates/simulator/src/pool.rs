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
use crate::database::{Database, Occurrence};
use crate::doors::Identity;
use crate::legacy::Legacy;
use crate::membership::{Arrivals, Joining, Seats};
use crate::messages::Messages;
use crate::options::Options;
use crate::random::Random;
use crate::roles::User;
use crate::scenario::{Due, Log};
use crate::session::{LocalSessions, Sessions};
use crate::tasks::{Jobs, Owners, Stalled};
use crate::toolstack::{Toolstack, Toolstacks};
use crate::trouble::{Calls, Trouble};

/// xapi looks for what to throw away this often.
const COLLECT_EVERY: Duration = Duration::from_secs(30);
/// The database is copied to the members this often.
const COPY_EVERY: Duration = Duration::from_secs(300);
/// Crashes do not come faster than this, or time would never pass.
const CRASH_EVERY_MIN: Duration = Duration::from_millis(1);

/// All of a pool. Not to be shown as text: it holds sessions and arguments.
pub(crate) struct Pool {
    pub(crate) database: Database,
    pub(crate) sessions: Sessions,
    /// Sessions of one host alone, which it opens even in emergency mode.
    pub(crate) local_sessions: LocalSessions,
    pub(crate) messages: Messages,
    pub(crate) jobs: Jobs,
    pub(crate) owners: Owners,
    pub(crate) stalled: Stalled,
    /// Who waits for events in the old way, and what they have not read.
    pub(crate) legacy: Legacy,
    pub(crate) toolstacks: Toolstacks,
    /// The number of the last change that the members' copies of the database hold.
    pub(crate) copied: i64,
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
    /// Hosts that joined and keep their own doors.
    pub(crate) seats: Seats,
    /// Those that have not come up yet.
    pub(crate) arrivals: Arrivals,
    /// The way of this pool's own host into another.
    pub(crate) joining: Joining,
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
    /// This host becomes the coordinator, and the counter of changes goes back by so many.
    Promote(SmolStr, u32),
    /// This host, which another pool took in, restarts as a member.
    Enter,
    /// A host that was taken in comes up.
    Arrive(SmolStr),
    /// This host, which was ejected, has booted afresh.
    StandAlone,
    /// A host's toolstack is restarted.
    RestartAgent(SmolStr),
    /// A host's restart comes to its next phase.
    Toolstack(SmolStr, Toolstack),
    /// xapi, restarted, has looked at all objects.
    LookAgain,
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
    /// The members get a copy of the database.
    Copy,
}

impl Pool {
    /// A pool of these rows.
    pub(crate) fn new(database: Database, random: Random, options: Options, epoch: jiff::Timestamp) -> Self {
        let seed = options.seed;
        let mut schedule = Schedule::new();
        schedule.add(COLLECT_EVERY, Step::Collect);
        schedule.add(COPY_EVERY, Step::Copy);
        if let Some(every) = options.crash_every {
            schedule.add(every.max(CRASH_EVERY_MIN), Step::CrashOne);
        }
        Pool {
            copied: database.generation(),
            database,
            sessions: Sessions::new(),
            local_sessions: LocalSessions::new(),
            messages: Messages::default(),
            jobs: Jobs::new(),
            owners: Owners::new(),
            stalled: Stalled::new(),
            legacy: Legacy::default(),
            toolstacks: Toolstacks::new(),
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
            seats: Seats::new(),
            arrivals: Arrivals::new(),
            joining: Joining::default(),
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
            self.follow_up();
        }
        self.clock.set(now);
        self.schedule.next_at()
    }

    /// Brings up to date whatever follows from what was just written.
    pub(crate) fn follow_up(&mut self) {
        self.keep_allowed();
        self.keep_readers();
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
        self.database.note(Occurrence {
            class: "message",
            reference: reference.clone(),
            operation: "add",
            snapshot: record.clone(),
        });
        self.messages.add(generation, reference.clone(), record);
        reference
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
            Step::Promote(host, lost) => self.promote(&host, lost),
            Step::Enter => self.enter(),
            Step::Arrive(host) => self.arrive(&host),
            Step::StandAlone => self.stand_alone(),
            Step::RestartAgent(host) => self.restart_agent(&host),
            Step::Toolstack(host, next) => self.next_phase(&host, next),
            Step::LookAgain => self.judge_all(),
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
                self.beat();
                self.schedule.add(self.clock.now() + COLLECT_EVERY, Step::Collect);
            }
            Step::Copy => {
                self.copied = self.database.generation();
                self.schedule.add(self.clock.now() + COPY_EVERY, Step::Copy);
            }
        }
    }
}
