//! A handle on a pool from inside the program: look at it, change it, make trouble.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::model::Record;
use xapi::model::schema;
use xapi::{Struct, Value};

use crate::catalog::{self, End};
use crate::certificates::RotationError;
use crate::roles::User;
use crate::scenario::{Happening, Scenario};
use crate::shell::Shared;
use crate::toolstack::Restart;
use crate::trouble::{Calls, FailingCalls, Latency, Methods, Reach, RuleId, Spoil};
use crate::{arguments, failures};

/// A handle on a simulated pool. Cheap to clone; all clones work on the same pool.
#[derive(Debug, Clone)]
pub struct PoolHandle {
    shared: Arc<Shared>,
}

impl PoolHandle {
    /// What all doors and handles share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        PoolHandle { shared }
    }

    /// One object, by class (with its case on the wire) and reference.
    #[must_use]
    pub fn record(&self, class: &str, reference: &str) -> Option<Record> {
        let fields = self.shared.read(|pool| pool.database.record(class, reference))?;
        Some(Record::new(class, reference, fields))
    }

    /// All objects of a class, ordered by reference. Empty for a class without a table.
    #[must_use]
    pub fn records(&self, class: &str) -> Vec<Record> {
        self.shared.read(|pool| {
            let Some(table) = pool.database.table(class) else { return Vec::new() };
            let record = |(reference, row)| Record::new(class, SmolStr::clone(reference), table.record(row));
            table.rows.iter().map(record).collect()
        })
    }

    /// The reference of the first VM of that name that is neither template nor snapshot.
    #[must_use]
    pub fn find_vm(&self, name: &str) -> Option<SmolStr> {
        self.shared.read(|pool| {
            let table = pool.database.table("VM")?;
            table.with("name_label", name).find(|vm| !pool.database.truth("VM", vm, "is_a_template")).cloned()
        })
    }

    /// The whole state as `state.db` holds it; [`Simulator::from_state_db`](crate::Simulator::from_state_db) makes the
    /// same pool of it. It holds whatever secrets the pool holds.
    #[must_use]
    pub fn state_db(&self) -> String {
        self.shared.read(|pool| crate::state_db::dump(&pool.database))
    }

    /// The number of the last change.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.shared.read(|pool| pool.database.generation())
    }

    /// Alerts (class `message`) that the pool keeps, oldest first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Record> {
        self.shared.read(|pool| {
            let record = |message: &crate::messages::Message| {
                Record::new("message", message.reference.clone(), message.record.clone())
            };
            pool.messages.iter().map(record).collect()
        })
    }

    /// Writes one field as the pool's own server would, whatever its access, and tells whether it changed.
    ///
    /// # Errors
    /// When there is no such object or field, the value is of another type, or the field follows from other objects.
    pub fn set(
        &self,
        class: &str,
        reference: &str,
        field: &str,
        value: impl Into<Value>,
    ) -> Result<bool, Failure> {
        let entry = catalog::entry(class).ok_or_else(|| failures::handle_invalid(class, reference))?;
        let missing = || failures::internal(format_args!("no field {class}.{field}"));
        let (position, declared) = entry.field(field).ok_or_else(missing)?;
        if entry.ends.get(position) == Some(&End::Follows) {
            return Err(failures::not_allowed(&format!("{class}.{field} follows from other objects")));
        }
        let value = arguments::typed(&declared.kind, &value.into(), field)?;
        self.shared.with(|pool| {
            pool.known(class, reference)?;
            Ok(pool.database.write(class, reference, field, value))
        })
    }

    /// Adds an object. Fields that are not named get their defaults, a uuid is made up where none is given.
    ///
    /// # Errors
    /// When there is no such class, or a value is of another type than its field.
    pub fn create(&self, class: &str, fields: Struct) -> Result<SmolStr, Failure> {
        let known = catalog::entry(class).ok_or_else(|| failures::handle_invalid(class, ""))?;
        let mut values = Vec::with_capacity(fields.len() + 1);
        for (name, value) in fields {
            let missing = || failures::internal(format_args!("no field {class}.{name}"));
            let (_, field) = known.field(&name).ok_or_else(missing)?;
            values.push((field.name, arguments::typed(&field.kind, &value, &name)?));
        }
        Ok(self.shared.with(|pool| {
            let reference = pool.random.reference();
            if !values.iter().any(|(name, _)| *name == "uuid") {
                values.push(("uuid", Value::String(pool.random.uuid())));
            }
            pool.database.create(class, &reference, values);
            reference
        }))
    }

    /// Takes an object away, just so.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn delete(&self, class: &str, reference: &str) -> Result<(), Failure> {
        self.shared.with(|pool| {
            pool.known(class, reference)?;
            pool.database.delete(class, reference);
            Ok(())
        })
    }

    /// Makes a running VM crash: it is Halted at once, without any task.
    ///
    /// # Errors
    /// When it is not there, not running, or a control domain.
    pub fn crash(&self, vm: &str) -> Result<(), Failure> {
        self.shared.with(|pool| pool.crash(vm))
    }

    /// Makes a member stop answering at once, with all its VMs. The pool takes it for dead later: after ten minutes at
    /// speed 1, after one with HA, which then starts its protected VMs elsewhere.
    ///
    /// # Errors
    /// When it is not there, is the coordinator, or does not answer already.
    pub fn crash_host(&self, host: &str) -> Result<(), Failure> {
        self.shared.with(|pool| pool.crash_host(host))
    }

    /// Boots a host that crashed or was shut down: at once it lives and takes VMs; those that ran on it are Halted.
    ///
    /// # Errors
    /// When it is not there.
    pub fn boot_host(&self, host: &str) -> Result<(), Failure> {
        self.shared.with(|pool| {
            pool.known("host", host)?;
            pool.host_up(host);
            Ok(())
        })
    }

    /// Adds a host to the pool as if it had just joined, and returns its reference. It has so many bytes of memory,
    /// cards on the coordinator's networks, and reaches shared storage.
    #[must_use = "the reference is all that tells the new host from others"]
    pub fn join_host(&self, name: &str, address: &str, memory: i64) -> SmolStr {
        let new = crate::membership::NewHost { name: name.into(), address: address.into(), memory };
        self.shared.with(|pool| pool.add_host(&new))
    }

    /// Restarts the coordinator's toolstack. At once sessions, tasks and remembered deletions are gone and every row
    /// looks newly made; connections end, calls under way without an answer. For a second at speed 1 all doors refuse,
    /// for two more HTTPS takes connections and closes them, then the pool answers again.
    pub fn restart_toolstack(&self) {
        self.shared.with(|pool| pool.restart(Restart::ByScript));
    }

    /// Lets xapi crash and lose its last writes: the counter of changes goes back by so many, so that tokens of before
    /// point into the future. The rows themselves stay as they are. The TLS front lives on: for two seconds at speed 1
    /// HTTPS takes connections and closes them while the other doors refuse.
    pub fn restart_toolstack_losing(&self, changes: u32) {
        self.shared.with(|pool| pool.restart_losing(Restart::ByItself, changes));
    }

    /// Makes a member the coordinator at once: all toolstacks restart, and the doors of all other hosts answer
    /// `HOST_IS_SLAVE` with its address.
    ///
    /// # Errors
    /// When it is not there, or came by `pool.join` and so has a door of its own.
    pub fn fail_over(&self, host: &str) -> Result<(), Failure> {
        self.shared.with(|pool| {
            pool.known("host", host)?;
            pool.assert_can_lead(host)?;
            pool.promote(host, 0);
            Ok(())
        })
    }

    /// Puts a host into emergency mode: over HTTP and HTTPS it answers every call with this error, but for the question
    /// whether it is in emergency mode. `None` ends it.
    ///
    /// # Errors
    /// When the host is not there.
    pub fn strand(&self, host: &str, failure: Option<Failure>) -> Result<(), Failure> {
        self.shared.with(|pool| {
            pool.known("host", host)?;
            match failure {
                Some(failure) => _ = pool.trouble.stranded.insert(host.into(), failure),
                None => _ = pool.trouble.stranded.remove(host),
            }
            Ok(())
        })
    }

    /// Lets somebody log in over HTTP and HTTPS beside the user of the options, bound by a role: calls that need a
    /// stronger one answer `RBAC_PERMISSION_DENIED`.
    pub fn add_user(&self, name: &str, password: &str, role: schema::Role) {
        self.shared.with(|pool| {
            let number = pool.users.len();
            pool.users.push(User { name: name.into(), password: password.into(), role, number });
        });
    }

    /// Ends all sessions and nothing else.
    pub fn end_sessions(&self) {
        self.shared.with(crate::pool::Pool::end_sessions);
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.read(|pool| pool.sessions.len())
    }

    /// Spoils the answers to the next `count` calls, or to the next `count` calls of the methods that a pattern means,
    /// such as `VM.start` or `VM.*`.
    pub fn spoil_next(&self, count: usize, methods: Option<&str>, spoil: Spoil) {
        let methods = methods.map_or_else(Methods::all, Methods::of);
        self.shared.with(|pool| {
            for _ in 0..count {
                pool.trouble.spoil_next(methods.clone(), spoil);
            }
        });
    }

    /// Lets calls take longer, until [`PoolHandle::end`] is called with the answer. Logins are calls like others.
    pub fn slow_down(&self, latency: Latency) -> RuleId {
        self.shared.with(|pool| pool.trouble.add_latency(latency))
    }

    /// Lets calls fail, until [`PoolHandle::end`] is called with the answer.
    pub fn fail_calls(&self, failing: FailingCalls) -> RuleId {
        self.shared.with(|pool| pool.trouble.add_failing(failing))
    }

    /// Ends a rule; one that has ended is no error.
    pub fn end(&self, rule: RuleId) {
        self.shared.with(|pool| pool.trouble.end(rule));
    }

    /// Lets connections reach the HTTP and HTTPS doors, or not. The Unix socket is no network and stays.
    pub fn set_reach(&self, reach: Reach) {
        self.shared.with(|pool| pool.trouble.network.reach = reach);
    }

    /// Closes every connection to the HTTP and HTTPS doors; new ones are taken.
    pub fn drop_connections(&self) {
        self.shared.with(|pool| pool.trouble.network.cuts += 1);
    }

    /// Forgets which objects of a class were deleted, or of all classes: whoever follows is told nothing of them.
    pub fn forget_deletions(&self, class: Option<&str>) {
        self.shared.with(|pool| pool.database.forget_deletions(class));
    }

    /// Gives a host another certificate and returns its fingerprint, as [`PoolHandle::fingerprint`] does. With notice it
    /// goes as in a pool: the new `Certificate` record is told by events at once, and the host's HTTPS door serves it so
    /// much later. Without, the door serves it at once and no record tells of it. Connections that are open stay.
    ///
    /// # Errors
    /// When the host is not there or no certificate can be made.
    pub fn rotate_certificate(&self, host: &str, notice: Option<Duration>) -> Result<String, RotationError> {
        self.shared.with(|pool| pool.rotate_certificate(host, notice))
    }

    /// The SHA-256 fingerprint of the certificate that a host's HTTPS door serves now, 64 lower-case hexadecimal digits;
    /// none for a host that never had such a door.
    #[must_use]
    pub fn fingerprint(&self, host: &str) -> Option<String> {
        self.shared.read(|pool| pool.identities.get(host).map(|identity| identity.fingerprint.clone()))
    }

    /// Begins a scenario: what it says happens from now on, at the pool's speed, while the doors are open.
    pub fn begin(&self, scenario: &Scenario) {
        self.shared.with(|pool| pool.begin_scenario(scenario));
    }

    /// What scenarios did so far, oldest first, from this number on. The last ten thousand are kept.
    #[must_use]
    pub fn happenings(&self, from: u64) -> Vec<Happening> {
        self.shared.read(|pool| pool.log.from(from))
    }

    /// The same, after waiting until there is any.
    pub async fn next_happenings(&self, from: u64) -> Vec<Happening> {
        loop {
            let happened = self.happenings(from);
            if !happened.is_empty() {
                return happened;
            }
            self.shared.wait_until(Duration::from_secs(3600), || !self.happenings(from).is_empty()).await;
        }
    }

    /// Refuses the next `count` logins as if the password were wrong.
    pub fn refuse_logins(&self, count: u64) {
        self.shared.with(|pool| pool.trouble.refused_logins = count);
    }

    /// While true, calls are taken and done, but no answer goes out.
    pub fn hold(&self, hold: bool) {
        self.shared.hold(hold);
    }

    /// Over HTTP and HTTPS, answers everything as a member whose coordinator has this address; `None` ends it.
    pub fn answer_as_slave_of(&self, address: Option<&str>) {
        self.shared.with(|pool| pool.trouble.slave_of = address.map(str::to_owned));
    }

    /// Answers every call with this error before any dispatch, as a host in emergency mode; `None` ends it.
    pub fn answer_with(&self, failure: Option<Failure>) {
        self.shared.with(|pool| pool.trouble.emergency = failure);
    }

    /// What calls came in since the pool was made.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.shared.read(|pool| pool.calls.clone())
    }

    /// Classes that have objects, in the order of the datamodel, with their number.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        self.shared.read(|pool| {
            let classes = schema::classes().iter();
            let counted = classes
                .map(|class| (class.name, pool.database.table(class.name).map_or(0, |t| t.rows.len())));
            counted.filter(|(_, count)| *count > 0).collect()
        })
    }

    /// Waits until the pool satisfies a condition, looking again whenever something changes; tells whether it did
    /// within the time.
    pub async fn wait_until(&self, limit: Duration, condition: impl Fn(&PoolHandle) -> bool) -> bool {
        self.shared.wait_until(limit, || condition(self)).await
    }
}
