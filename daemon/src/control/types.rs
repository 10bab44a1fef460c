//! What goes over the control socket: the daemon writes it, the command line reads it. Times are RFC 3339 in UTC, spans
//! of time are seconds.

use serde::{Deserialize, Serialize};

/// `GET /v1/status`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The daemon's version.
    pub(crate) version: String,
    /// Its process.
    pub(crate) process: u32,
    /// How long it runs.
    pub(crate) running_for_s: f64,
    /// What a person should look at; empty when all is well.
    pub(crate) problems: Vec<String>,
    /// The pools, in the order of the configuration.
    pub(crate) pools: Vec<PoolStatus>,
    /// The plugins, by name.
    pub(crate) plugins: Vec<PluginStatus>,
    /// What the journal holds.
    pub(crate) journal: JournalStatus,
    /// From a pool's complete answer to the start of a plugin.
    pub(crate) start_latency: LatencyStatus,
}

/// One pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PoolStatus {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// `connecting`, `following`, `lost`, `untrusted` or `paused`.
    pub(crate) state: String,
    /// Why it is not followed.
    pub(crate) why: Option<String>,
    /// The member that is talked to.
    pub(crate) endpoint: String,
    /// Objects as last seen.
    pub(crate) objects: u64,
    /// How long ago a change of our own was told by the pool.
    pub(crate) canary_age_s: Option<f64>,
    /// How long that change took to be told.
    pub(crate) lag_s: Option<f64>,
    /// Events written to the journal since the daemon started.
    pub(crate) events: u64,
}

/// One plugin.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PluginStatus {
    /// The name of its grant file.
    pub(crate) name: String,
    /// `on`, `quarantined` because it keeps failing, `disabled` by a person, `off` by its grant file, or `left out` because it could not be loaded.
    pub(crate) state: String,
    /// Why it is not on, or a new version does not begin yet.
    pub(crate) why: Option<String>,
    /// `enforce` or `dry-run`, as its grant file says; nothing where that is not known.
    pub(crate) mode: Option<String>,
    /// Its own version, when it is loaded.
    pub(crate) version: Option<String>,
    /// Whether a newer component waits, since it asks for more than the grant allows.
    pub(crate) update_waits: bool,
    /// Every event up to here is settled; nothing for one that never ran.
    pub(crate) cursor: Option<u64>,
    /// Events of the journal after that.
    pub(crate) behind: u64,
    /// Deliveries that wait for their turn.
    pub(crate) waiting: u64,
    /// Deliveries that run.
    pub(crate) running: u64,
    /// Objects whose delivery failed and rests until it is tried again.
    pub(crate) resting: u64,
    /// Dead letters.
    pub(crate) dead: u64,
    /// Attempts that ended well, since the daemon started.
    pub(crate) attempts_done: u64,
    /// Attempts to be repeated, since the daemon started.
    pub(crate) attempts_again: u64,
    /// Deliveries given up, since the daemon started.
    pub(crate) attempts_dead: u64,
    /// Events that were told with a later one of the same object, since the daemon started.
    pub(crate) folded: u64,
    /// Events that it lost in all, since the journal may not hold more.
    pub(crate) lost: u64,
}

/// `GET /v1/plugins/NAME`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PluginDetail {
    /// How it stands.
    pub(crate) status: PluginStatus,
    /// Its grant file.
    pub(crate) grant: String,
    /// Its component.
    pub(crate) component: String,
    /// The component's digest, if it is pinned.
    pub(crate) digest: Option<String>,
    /// The pools whose events it may get.
    pub(crate) pools: Vec<String>,
    /// Deliveries side by side.
    pub(crate) concurrency: usize,
    /// What it does, in its author's words.
    pub(crate) description: Option<String>,
    /// Its subscriptions.
    pub(crate) subscriptions: Vec<String>,
    /// What it may call, as written.
    pub(crate) allow: Vec<String>,
    /// Lines that would grant what it asks for and is not given.
    pub(crate) missing: Option<String>,
    /// Lines that would grant what a newer component asks for; it waits for that.
    pub(crate) update: Option<String>,
}

/// What came of `POST /v1/reload` and `POST /v1/plugins/NAME/reload`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// Plugins that began: their grant files are new, or switch them on.
    pub(crate) began: Vec<String>,
    /// Plugins that go on with another component, grant or secret.
    pub(crate) changed: Vec<String>,
    /// Plugins that end: their grant files are gone, or switch them off.
    pub(crate) ended: Vec<String>,
    /// Plugins of which nothing differs.
    pub(crate) unchanged: Vec<String>,
    /// Plugins that go on with the component before, though there is a newer one.
    pub(crate) waiting: Vec<Waiting>,
    /// What became of the pools.
    pub(crate) pools: PoolsReloaded,
    /// Other keys that hold from now on.
    pub(crate) settings: Vec<String>,
    /// Keys that differ and hold from the next start on.
    pub(crate) needs_restart: Vec<String>,
    /// What is unwise in the configuration.
    pub(crate) warnings: Vec<String>,
}

/// What became of the pools at a reload, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PoolsReloaded {
    /// Those that are new.
    pub(crate) began: Vec<String>,
    /// Those with another address, trust or login, which are followed anew with it.
    pub(crate) changed: Vec<String>,
    /// Those that are gone; deliveries that run come to their end.
    pub(crate) ended: Vec<String>,
}

/// A component that waits, since it asks for more than its grant allows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The plugin.
    pub(crate) plugin: String,
    /// Lines that would grant what it asks for.
    pub(crate) missing: String,
}

/// `GET /v1/journal`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JournalStatus {
    /// Events in the file.
    pub(crate) events: u64,
    /// The number of the last one.
    pub(crate) last: u64,
    /// Objects in the pictures of all pools.
    pub(crate) objects: u64,
    /// Deliveries that were started and are not settled.
    pub(crate) open_deliveries: u64,
    /// Dead letters.
    pub(crate) dead: u64,
    /// Calls to pools that are on record.
    pub(crate) effects: u64,
    /// Those whose outcome nobody knows.
    pub(crate) effects_in_doubt: u64,
    /// Rows that were ever written to the audit.
    pub(crate) audit_rows: u64,
    /// The size of the file.
    pub(crate) bytes: u64,
    /// How much of it is free.
    pub(crate) free_bytes: u64,
}

/// Times from a pool's complete answer to the start of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LatencyStatus {
    /// How many were measured.
    pub(crate) count: u64,
    /// Half took no longer.
    pub(crate) p50_s: f64,
    /// 99 of 100 took no longer.
    pub(crate) p99_s: f64,
    /// None took longer.
    pub(crate) max_s: f64,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct EventQuery {
    /// Only those after this number, oldest first; otherwise the newest.
    pub(crate) after: Option<u64>,
    /// Only those of this pool.
    pub(crate) pool: Option<String>,
    /// Only those of this kind.
    pub(crate) kind: Option<String>,
    /// Only those about objects of this class.
    pub(crate) class: Option<String>,
    /// Only those about this object.
    pub(crate) reference: Option<String>,
    /// At most so many.
    pub(crate) limit: Option<usize>,
    /// Wait until there is something after `after`, at most so long.
    pub(crate) wait_s: Option<u64>,
}

/// `GET /v1/events`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Events {
    /// In the order of their numbers.
    pub(crate) events: Vec<EventLine>,
    /// Everything up to here was looked at; go on after it.
    pub(crate) looked_to: u64,
}

/// One event in a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EventLine {
    /// Its number.
    pub(crate) sequence: u64,
    /// When we learned of it.
    pub(crate) at: String,
    /// The pool.
    pub(crate) pool: String,
    /// `change`, `task`, `alert`, `resync`, `tick` or `connection`.
    pub(crate) kind: String,
    /// The class of its object; may be empty.
    pub(crate) class: String,
    /// The reference of its object; may be empty.
    pub(crate) reference: String,
    /// The name of its object; may be empty.
    pub(crate) name: String,
    /// What happened.
    pub(crate) what: String,
}

/// `GET /v1/events/SEQUENCE`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EventDetail {
    /// In a line.
    pub(crate) event: EventLine,
    /// All that is kept of it.
    pub(crate) payload: serde_json::Value,
}

/// Which deliveries or dead letters are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct OfPlugin {
    /// Only those of this plugin.
    pub(crate) plugin: Option<String>,
    /// At most so many.
    pub(crate) limit: Option<usize>,
}

/// An open delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeliveryLine {
    /// The plugin.
    pub(crate) plugin: String,
    /// The event's number.
    pub(crate) sequence: u64,
    /// The last attempt; 0 before the first.
    pub(crate) attempt: u32,
    /// `waiting` for its turn, `started`, `retry`, `settled`, `folded` into a later one, `lost` with its event, `dead`, or `not started`.
    pub(crate) state: String,
    /// When it is tried again.
    pub(crate) not_before: Option<String>,
    /// Why the last attempt did not end well, or what it was told with.
    pub(crate) why: Option<String>,
}

/// `GET /v1/deliveries/PLUGIN/SEQUENCE`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeliveryDetail {
    /// How it stands.
    pub(crate) delivery: DeliveryLine,
    /// Its event.
    pub(crate) event: Option<EventLine>,
    /// Earlier events of the same object that it tells of too, by number.
    pub(crate) folded: Vec<u64>,
    /// The calls that its attempts made.
    pub(crate) calls: Vec<CallLine>,
    /// The dead letter that it became.
    pub(crate) dead: Option<DeadLine>,
}

/// A call that changes something, on record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CallLine {
    /// The attempt that made it.
    pub(crate) attempt: u32,
    /// Its place among the calls of the attempt.
    pub(crate) index: u32,
    /// What was called.
    pub(crate) method: String,
    /// With what, as JSON; secrets are not kept.
    pub(crate) arguments: String,
    /// The object that it acts on, by its uuid; may be empty.
    pub(crate) object: String,
    /// What the call makes of it, where that can be told.
    pub(crate) expected: Option<String>,
    /// When it was about to be sent.
    pub(crate) at: String,
    /// `succeeded`, `started`, `failed: CODE`, `not sent`, `in doubt`, `dry run`; nothing when no outcome is recorded.
    pub(crate) outcome: Option<String>,
    /// How long it took.
    pub(crate) took_s: Option<f64>,
}

/// A dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeadLine {
    /// Its number.
    pub(crate) id: u64,
    /// The plugin.
    pub(crate) plugin: String,
    /// The event's number.
    pub(crate) sequence: u64,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it was given up.
    pub(crate) at: String,
    /// Why.
    pub(crate) why: String,
    /// What the plugin logged last.
    pub(crate) log: Vec<String>,
}

/// `GET /v1/dead/ID`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeadDetail {
    /// The letter.
    pub(crate) dead: DeadLine,
    /// Its event.
    pub(crate) event: Option<EventLine>,
    /// The calls that its attempts made.
    pub(crate) calls: Vec<CallLine>,
}

/// Why a person does something: the body of most `POST`s.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reason {
    /// In that person's words; may be empty where none is needed.
    #[serde(default)]
    pub(crate) reason: String,
}

/// `POST /v1/journal/prune`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Prune {
    /// Events older than this may go.
    pub(crate) older_than_s: u64,
    /// Why, in that person's words; may be empty.
    #[serde(default)]
    pub(crate) reason: String,
}

/// What came of pruning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pruned {
    /// How many events are gone.
    pub(crate) events: u64,
    /// How many recorded calls are gone with them.
    pub(crate) calls: u64,
    /// What kept older events from going too.
    pub(crate) held_by: Option<String>,
}

/// What came of something that a person did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    /// In a sentence.
    pub(crate) done: String,
}

/// `GET /v1/journal/gaps`: events that a plugin did not get and never will.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GapLine {
    /// Its number.
    pub(crate) id: u64,
    /// When the last of them went.
    pub(crate) at: String,
    /// The plugin.
    pub(crate) plugin: String,
    /// The first event of the range.
    pub(crate) first: u64,
    /// The last event of the range.
    pub(crate) last: u64,
    /// How many of them it had not dealt with.
    pub(crate) events: u64,
    /// Dead letters that went with them.
    pub(crate) dead: u64,
    /// Why.
    pub(crate) why: String,
}

/// `GET /v1/journal/actions`: something that a person did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ActionLine {
    /// Its number.
    pub(crate) id: u64,
    /// When.
    pub(crate) at: String,
    /// Who.
    pub(crate) who: String,
    /// What was done.
    pub(crate) verb: String,
    /// To what.
    pub(crate) subject: String,
    /// Why.
    pub(crate) reason: String,
}

/// Which rows of the audit are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AuditQuery {
    /// Only those about this plugin.
    pub(crate) plugin: Option<String>,
    /// Only those about this object.
    pub(crate) object: Option<String>,
    /// Only those of this kind.
    pub(crate) kind: Option<String>,
    /// Only those from this time on, RFC 3339.
    pub(crate) since: Option<String>,
    /// At most so many.
    pub(crate) limit: Option<usize>,
}

/// `GET /v1/audit`: a row of the audit, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AuditLine {
    /// Its number.
    pub(crate) id: u64,
    /// When.
    pub(crate) at: String,
    /// `call`, `refusal`, `grant`, `read` or `action`.
    pub(crate) kind: String,
    /// The plugin that it is about; may be empty.
    pub(crate) plugin: String,
    /// The person who did it; may be empty.
    pub(crate) who: String,
    /// The method, or what was done.
    pub(crate) what: String,
    /// To what; may be empty.
    pub(crate) object: String,
    /// What else belongs to it: the delivery, the arguments, the rule that decided; for an action the reason.
    pub(crate) details: serde_json::Value,
    /// What came of a call, and its task; nothing where that is not known.
    pub(crate) result: Option<serde_json::Value>,
    /// When that was.
    pub(crate) result_at: Option<String>,
}

/// `GET /v1/audit/verify`: a head that was noted earlier, `ID:HASH`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AuditNoted {
    /// The head.
    pub(crate) noted: Option<String>,
}

/// Whether the audit is as it was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AuditVerified {
    /// How many rows there are.
    pub(crate) rows: u64,
    /// The last row that was removed for its age; 0 where none was.
    pub(crate) removed_through: u64,
    /// The last row with its hash, to be noted elsewhere.
    pub(crate) head: String,
    /// What is wrong; empty when all follows.
    pub(crate) faults: Vec<String>,
}

/// The body of every answer that is no success.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// What is wrong and what to do.
    pub(crate) error: String,
}
