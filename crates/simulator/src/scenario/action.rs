//! What a step of a scenario can do.

use std::time::Duration;

use smol_str::SmolStr;
use xapi::codec::Failure;

use crate::churn::Kind;
use crate::trouble::{FailingCalls, Latency, Methods, Reach, RuleId, Spoil};

/// What a step does. Objects that are not named are chosen by the seed.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Calls take longer.
    Latency(Latency),
    /// Calls fail.
    Fail(FailingCalls),
    /// Answers are spoilt.
    Spoil { spoil: Spoil, count: usize, methods: Methods },
    /// Connections do not reach the doors.
    Reach(Reach),
    /// Connections are closed.
    DropConnections,
    /// Sessions end.
    EndSessions,
    /// Logins are refused as if the password were wrong.
    RefuseLogins { count: u64 },
    /// Deletions are not told.
    ForgetDeletions { class: Option<SmolStr> },
    /// The toolstack restarts, and loses so many changes.
    RestartToolstack { loses: u32 },
    /// A host serves another certificate.
    RotateCertificate { host: Option<SmolStr>, notice: Option<Duration> },
    /// A member stops answering.
    LoseHost { host: Option<SmolStr> },
    /// Another host joins the pool.
    JoinHost { name: SmolStr, address: SmolStr, memory: i64 },
    /// A member becomes the coordinator.
    FailOver { host: Option<SmolStr> },
    /// Every call is answered with an error before any dispatch.
    Emergency { failure: Failure },
    /// Running VMs go Halted by themselves.
    Crash { vm: Option<SmolStr>, count: usize },
    /// Many things of one kind at once.
    Storm { kind: Kind, count: usize },
    /// No host reaches an SR.
    DetachSr { sr: Option<SmolStr> },
    /// So many changes a second.
    Churn { rate: f64 },
}

/// What ends something that lasted.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// Calls that took longer or failed.
    Rule(RuleId, &'static str),
    /// Connections that did not reach the doors.
    Reach,
    /// An error before any dispatch.
    Emergency,
    /// A host that did not answer.
    BootHost(SmolStr),
    /// PBDs of an SR that were unplugged.
    AttachSr(SmolStr, Vec<SmolStr>),
    /// A load.
    Churn(u64),
}
