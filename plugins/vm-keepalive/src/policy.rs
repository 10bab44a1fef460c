//! What to do about a VM whose power state changed, decided from plain data.
//!
//! Nothing in a VM's record says why it stopped, so everything that points to somebody's hand is weighed, strongest first,
//! and a doubt leaves the VM alone: to start a VM against a person's will is worse than to leave one down and say so.

use std::fmt;

use xapiary_sdk::xapi::{VmOperations, VmPowerState};

use crate::settings::VmKeepalive;

/// What is known about one stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The VM's name, for messages.
    pub(crate) name: String,
    /// The power state before the event.
    pub(crate) was: VmPowerState,
    /// The power state that the event told.
    pub(crate) became: VmPowerState,
    /// The VM as it is now, which may be later than the event; `None` when it is gone.
    pub(crate) now: Option<Now>,
    /// What was being done to the VM just before, just after and now: operations.
    pub(crate) operations: Vec<VmOperations>,
    /// The delivery of a plugin whose call caused the change.
    pub(crate) caused_by: Option<String>,
    /// Whether changes may have been missed before this one.
    pub(crate) gap: bool,
    /// The latest shutdown that the pool has noted on the VM, where it does so.
    pub(crate) noted: Option<NotedShutdown>,
    /// The tasks that leave some VM halted, whichever it is.
    pub(crate) tasks: Vec<HaltingTask>,
}

/// The VM as it is when the decision is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Now {
    /// Its power state.
    pub(crate) power_state: VmPowerState,
    /// Whether it carries the tag.
    pub(crate) tagged: bool,
    /// Whether it is a template, a snapshot or a control domain.
    pub(crate) out_of_scope: bool,
    /// Why starting it is blocked, where it is.
    pub(crate) start_blocked: Option<String>,
}

/// What older pools write into a VM's `other_config` when it is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotedShutdown {
    /// Whether the call came from outside of the VM.
    pub(crate) external: bool,
    /// Whether the note was written by the very change that the event tells.
    pub(crate) fresh: bool,
    /// When, in seconds since 1970.
    pub(crate) at: Option<i64>,
}

/// A task that leaves some VM halted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HaltingTask {
    /// What was asked for.
    pub(crate) name: String,
    /// When it ended, in seconds since 1970; `None` while it runs.
    pub(crate) finished: Option<i64>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Start the VM.
    Start,
    /// Do nothing, for this reason.
    LeaveAlone(Reason),
    /// It was started this often within the window: tell a person.
    GiveUp { starts: usize },
}

/// Why a VM is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    NotStopped,
    NoTag,
    NoOrdinaryVm,
    Gone,
    RunsAgain,
    OtherState(VmPowerState),
    StartBlocked(String),
    CausedBy(String),
    Handled(VmOperations),
    Noted,
    TaskNearby { name: String, running: bool },
    Unseen,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotStopped => f.write_str("it did not go from running to halted"),
            Reason::NoTag => f.write_str("it does not carry the tag"),
            Reason::NoOrdinaryVm => f.write_str("it is a template, a snapshot or a control domain"),
            Reason::Gone => f.write_str("it no longer exists"),
            Reason::RunsAgain => f.write_str("it is running again already"),
            Reason::OtherState(state) => write!(f, "it is {state} by now"),
            Reason::StartBlocked(why) if why.is_empty() => f.write_str("starting it is blocked"),
            Reason::StartBlocked(why) => write!(f, "starting it is blocked: {why}"),
            Reason::CausedBy(delivery) => write!(f, "it was stopped on behalf of {delivery}"),
            Reason::Handled(operation) => write!(f, "somebody asked for {operation}"),
            Reason::Noted => f.write_str("the pool noted a shutdown from outside of the VM"),
            Reason::TaskNearby { name, running: true } => {
                write!(f, "{name} is running, and it cannot be told for which VM")
            }
            Reason::TaskNearby { name, running: false } => {
                write!(f, "{name} ended at about that time, and it cannot be told for which VM")
            }
            Reason::Unseen => {
                f.write_str("it stopped while nobody watched, and the settings say not to start it then")
            }
        }
    }
}

/// Decides about one stop. `starts` are the moments of the plugin's own starts of this VM, `now` is the moment of the event,
/// all in seconds since 1970.
pub(crate) fn decide(evidence: &Evidence, settings: &VmKeepalive, starts: &[i64], now: i64) -> Decision {
    if let Some(reason) = not_ours(evidence).or_else(|| asked_for(evidence, settings, now)) {
        return Decision::LeaveAlone(reason);
    }
    let starts = within_window(starts, settings, now).count();
    if starts >= settings.max_starts as usize { Decision::GiveUp { starts } } else { Decision::Start }
}

/// The starts that count: those in the window that ends now. One that lies in the future counts too, since a clock that was
/// set back must not open the way for endless starts.
pub(crate) fn within_window(starts: &[i64], settings: &VmKeepalive, now: i64) -> impl Iterator<Item = i64> {
    let begin = now.saturating_sub(i64::from(settings.window_minutes) * 60);
    starts.iter().copied().filter(move |&start| start > begin)
}

/// Why the event is no stop of a VM that is to be kept alive, whoever caused it; `None` when it is one. Looks at no task.
pub(crate) fn not_ours(evidence: &Evidence) -> Option<Reason> {
    if (&evidence.was, &evidence.became) != (&VmPowerState::Running, &VmPowerState::Halted) {
        return Some(Reason::NotStopped);
    }
    let Some(now) = &evidence.now else { return Some(Reason::Gone) };
    if now.out_of_scope {
        return Some(Reason::NoOrdinaryVm);
    }
    if !now.tagged {
        return Some(Reason::NoTag);
    }
    match &now.power_state {
        VmPowerState::Halted => None,
        VmPowerState::Running => Some(Reason::RunsAgain),
        other => Some(Reason::OtherState(other.clone())),
    }
}

fn asked_for(evidence: &Evidence, settings: &VmKeepalive, now: i64) -> Option<Reason> {
    if let Some(why) = evidence.now.as_ref().and_then(|now| now.start_blocked.clone()) {
        return Some(Reason::StartBlocked(why));
    }
    if let Some(delivery) = &evidence.caused_by {
        return Some(Reason::CausedBy(delivery.clone()));
    }
    if let Some(operation) = evidence.operations.iter().find(|operation| crate::asking::handles(operation)) {
        return Some(Reason::Handled(operation.clone()));
    }
    let near = |moment: i64| moment.abs_diff(now) <= u64::from(settings.asked_within_seconds);
    if evidence
        .noted
        .as_ref()
        .is_some_and(|noted| noted.external && (noted.fresh || noted.at.is_some_and(near)))
    {
        return Some(Reason::Noted);
    }
    if let Some(task) = evidence.tasks.iter().find(|task| task.finished.is_none_or(near)) {
        return Some(Reason::TaskNearby { name: task.name.clone(), running: task.finished.is_none() });
    }
    (evidence.gap && !settings.start_after_gap).then_some(Reason::Unseen)
}

#[cfg(test)]
mod tests;
