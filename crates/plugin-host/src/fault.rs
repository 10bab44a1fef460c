//! Errors as a plugin sees them, one constructor a fault.

use grant::Exhausted;
use xapi::Failure;

use crate::contract::xapiary::plugin::types::{Error, Fault};
use crate::convert::{Age, veiled};
use crate::handles::{HandleFault, Handles};
use crate::pool::CallError;

fn error(
    fault: Fault,
    code: &str,
    params: impl IntoIterator<Item = String>,
    advice: impl Into<String>,
) -> Error {
    Error { fault, code: code.to_owned(), params: params.into_iter().collect(), advice: advice.into() }
}

/// The grant does not allow it.
pub(crate) fn denied(what: &str, reason: &str, advice: impl Into<String>) -> Error {
    error(Fault::Denied, "DENIED", [what.to_owned(), reason.to_owned()], advice)
}

/// A limit is used up.
pub(crate) fn limit(what: &str, advice: impl Into<String>) -> Error {
    error(Fault::Limit, "LIMIT", [what.to_owned()], advice)
}

/// The budget of the rule that would allow a call is used up. After the bound's key comes, where there is one, the time in
/// milliseconds after which there is room.
pub(crate) fn over_budget(method: &str, exhausted: &Exhausted, now: i64, advice: impl Into<String>) -> Error {
    let wait = exhausted.again.map(|again| again.saturating_sub(now).max(0) / 1000 + 1);
    let params = [method.to_owned(), exhausted.bound.key().to_owned()];
    error(Fault::Limit, "LIMIT", params.into_iter().chain(wait.map(|wait| wait.to_string())), advice)
}

/// The arguments make no sense.
pub(crate) fn invalid(code: &str, what: &str, advice: impl Into<String>) -> Error {
    error(Fault::Invalid, code, [what.to_owned()], advice)
}

/// A reference that the plugin was not given.
pub(crate) fn bad_reference(handle: &str, fault: HandleFault) -> Error {
    // What was passed may be XAPI's own reference; only a handle of ours is worth repeating.
    let shown = if handle.starts_with("ref:") { handle } else { "" };
    invalid("UNKNOWN_REFERENCE", shown, fault.advice())
}

/// The daemon's own store or ledger failed; nothing was done.
pub(crate) fn unavailable(what: &str) -> Error {
    error(Fault::Transport, "UNAVAILABLE", [what.to_owned()], "the delivery can be tried again")
}

/// It may or may not have been done.
pub(crate) fn in_doubt(what: &str) -> Error {
    error(Fault::InDoubt, "IN_DOUBT", [what.to_owned()], "look at the object before acting again")
}

/// The plugin runs dry.
pub(crate) fn dry_run(method: &str) -> Error {
    let advice = "the call is recorded and was not sent, since the grant says mode = \"dry-run\"";
    error(Fault::DryRun, "DRY_RUN", [method.to_owned()], advice)
}

/// XAPI's own error; references in it become handles.
pub(crate) fn xapi(failure: &Failure, handles: &mut Handles) -> Error {
    let params = failure.parameters.iter().map(|parameter| veiled(parameter, handles, Age::Seen));
    error(Fault::Xapi, &failure.code, params, "")
}

/// XAPI's own error, of which the grant shows nothing.
pub(crate) fn hidden_xapi(advice: impl Into<String>) -> Error {
    error(Fault::Xapi, "", [], advice)
}

/// Whatever kept a call from giving a result.
pub(crate) fn call(why: &CallError, handles: &mut Handles) -> Error {
    match why {
        CallError::Xapi(failure) => xapi(failure, handles),
        CallError::Transport(text) => error(
            Fault::Transport,
            "UNREACHABLE",
            [text.clone()],
            "nothing was done; the delivery can be tried again",
        ),
        CallError::InDoubt(text) => in_doubt(text),
    }
}
