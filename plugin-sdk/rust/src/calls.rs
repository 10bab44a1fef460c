//! Calls to the pool. Every XAPI method can be named; the grant decides.
//!
//! A call that changes something is recorded before it is sent. When the same event is delivered again, the same call is
//! answered from the record, so a plugin need not remember what it has done already.

use std::fmt;
use std::time::Duration;

use crate::bindings::xapiary::plugin::calls as wire;
use crate::{Error, Fault, Reference, Value};

/// Calls a method and waits for the answer. The method is named as XAPI names it; the session is the daemon's and is no
/// argument.
///
/// ```no_run
/// # fn tag(vm: &xapiary_sdk::Object) -> Result<(), xapiary_sdk::Error> {
/// use xapiary_sdk::{args, calls};
/// calls::call("VM.add_tags", args![vm, "seen"])?;
/// # Ok(()) }
/// ```
pub fn call(method: &str, arguments: Vec<Value>) -> Result<Value, Error> {
    Ok(wire::call(method, &to_wire(arguments))?.into())
}

/// Calls a method asynchronously; it is named without `Async.`. After a crash, the redelivered event gets the same task
/// back.
///
/// ```no_run
/// # fn start(vm: &xapiary_sdk::Object) -> Result<(), xapiary_sdk::Error> {
/// use std::time::Duration;
/// use xapiary_sdk::{args, calls};
/// let task = calls::start("VM.start", args![vm, false, false])?;
/// task.wait(Duration::from_secs(60)).into_result()?;
/// # Ok(()) }
/// ```
pub fn start(method: &str, arguments: Vec<Value>) -> Result<Task, Error> {
    Ok(Task(wire::start(method, &to_wire(arguments))?))
}

/// A call that runs in the pool. Dropping it does not stop it.
pub struct Task(wire::Task);

impl Task {
    /// The handle of XAPI's task object.
    pub fn reference(&self) -> Reference {
        Reference(self.0.reference())
    }

    /// Waits at most so long and says how far the task is; a zero duration looks without waiting. Waiting is not CPU time,
    /// but it is bounded by the time that the delivery has in all.
    pub fn wait(&self, at_most: Duration) -> Progress {
        self.0.wait(u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX)).into()
    }

    /// Asks XAPI to stop the task. Not every task can be stopped, and one that was asked to may still succeed.
    pub fn cancel(&self) -> Result<(), Error> {
        Ok(self.0.cancel()?)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.0).finish()
    }
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Not finished; the part that is done, 0.0 to 1.0.
    Pending(f64),
    /// Finished, with the method's result.
    Succeeded(Value),
    /// Ended with an error of XAPI's.
    Failed(Error),
    /// Ended because somebody cancelled it.
    Cancelled,
    /// The task vanished before its outcome was seen: look at the object itself.
    Lost,
}

impl Progress {
    /// The method's result, for those who want nothing else. A task that is still pending or was lost is an error of fault
    /// [`InDoubt`](Fault::InDoubt) with code `TASK_PENDING` or `TASK_LOST`; a cancelled one is `TASK_CANCELLED`.
    pub fn into_result(self) -> Result<Value, Error> {
        let (fault, code) = match self {
            Progress::Succeeded(value) => return Ok(value),
            Progress::Failed(error) => return Err(error),
            Progress::Pending(_) => (Fault::InDoubt, "TASK_PENDING"),
            Progress::Cancelled => (Fault::Xapi, "TASK_CANCELLED"),
            Progress::Lost => (Fault::InDoubt, "TASK_LOST"),
        };
        Err(Error { fault, code: code.to_owned(), params: Vec::new(), advice: String::new() })
    }
}

impl From<wire::Progress> for Progress {
    fn from(progress: wire::Progress) -> Progress {
        match progress {
            wire::Progress::Pending(part) => Progress::Pending(part),
            wire::Progress::Succeeded(value) => Progress::Succeeded(value.into()),
            wire::Progress::Failed(error) => Progress::Failed(error.into()),
            wire::Progress::Cancelled => Progress::Cancelled,
            wire::Progress::Lost => Progress::Lost,
        }
    }
}

fn to_wire(arguments: Vec<Value>) -> Vec<crate::bindings::xapiary::plugin::types::Value> {
    arguments.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_a_result() {
        assert_eq!(Progress::Succeeded(Value::Nothing).into_result(), Ok(Value::Nothing));
        let ends = [
            (Progress::Pending(0.5), Fault::InDoubt, "TASK_PENDING"),
            (Progress::Cancelled, Fault::Xapi, "TASK_CANCELLED"),
            (Progress::Lost, Fault::InDoubt, "TASK_LOST"),
        ];
        for (progress, fault, code) in ends {
            let error = progress.into_result().unwrap_err();
            assert_eq!((error.fault, error.code.as_str()), (fault, code));
        }
    }
}
