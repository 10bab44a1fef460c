//! Calls to the pool by their names. Every XAPI method can be named; the grant decides.
//!
//! [`xapi`](crate::xapi) has a function with typed arguments for most of them, which is the better way to call; this room is
//! for the rest, and for names that are only known when the plugin runs.
//!
//! A call that changes something is recorded before it is sent. When the same event is delivered again, the same call is
//! answered from the record, so a plugin need not remember what it has done already.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::value::{FromValue, read};
use crate::{Error, Fault, Reference, Value, host};

/// Calls a method and waits for the answer. The method is named as XAPI names it; the session is the daemon's and is no
/// argument.
///
/// ```no_run
/// # fn tag(vm: &xapiary_sdk::Object) -> Result<(), xapiary_sdk::Error> {
/// use xapiary_sdk::{args, calls};
/// calls::call("VM.add_tags", args![vm, "seen"])?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// Of every [`Fault`]: the grant does not allow it, XAPI refuses, the pool is out of reach, and so on.
pub fn call(method: &str, arguments: Vec<Value>) -> Result<Value, Error> {
    host::call(method, arguments)
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
///
/// # Errors
///
/// As of [`call`], as far as they are known before the task ends.
pub fn start(method: &str, arguments: Vec<Value>) -> Result<Task, Error> {
    Ok(Task { task: host::start(method, arguments)?, of: PhantomData })
}

/// [`call`], with the answer as a Rust type.
pub(crate) fn answer<T: FromValue>(method: &str, arguments: Vec<Value>) -> Result<T, Error> {
    read(host::call(method, arguments)?, || method.to_owned())
}

/// [`start`], with the result as a Rust type.
pub(crate) fn begin<T: FromValue>(method: &str, arguments: Vec<Value>) -> Result<Task<T>, Error> {
    Ok(Task { task: host::start(method, arguments)?, of: PhantomData })
}

/// A call that runs in the pool and will give a `T`. Dropping it does not stop it.
pub struct Task<T = Value> {
    task: host::Task,
    of: PhantomData<fn() -> T>,
}

impl<T: FromValue> Task<T> {
    /// The handle of XAPI's task object.
    pub fn reference(&self) -> Reference {
        self.task.reference()
    }

    /// Waits at most so long and says how far the task is; a zero duration looks without waiting. Waiting is not CPU time,
    /// but it is bounded by the time that the delivery has in all.
    ///
    /// ```no_run
    /// # fn start(vm: &xapiary_sdk::xapi::Vm) -> xapiary_sdk::Outcome {
    /// use std::time::Duration;
    /// use xapiary_sdk::{Failure, Progress, xapi};
    /// match xapi::vm::start_async(vm, false, false)?.wait(Duration::from_secs(20)) {
    ///     Progress::Succeeded(()) => Ok(()),
    ///     Progress::Pending(_) => Err(Failure::retry(Duration::from_secs(10), "it is still starting")),
    ///     other => Ok(other.into_result()?),
    /// }
    /// # }
    /// ```
    pub fn wait(&self, at_most: Duration) -> Progress<T> {
        match self.task.wait(u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX)) {
            Progress::Succeeded(value) => read(value, || "the task's result".to_owned())
                .map_or_else(Progress::Failed, Progress::Succeeded),
            Progress::Pending(part) => Progress::Pending(part),
            Progress::Failed(error) => Progress::Failed(error),
            Progress::Cancelled => Progress::Cancelled,
            Progress::Lost => Progress::Lost,
        }
    }

    /// Asks XAPI to stop the task. Not every task can be stopped, and one that was asked to may still succeed.
    ///
    /// # Errors
    ///
    /// When the pool could not be asked, or refuses.
    pub fn cancel(&self) -> Result<(), Error> {
        self.task.cancel()
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.task).finish()
    }
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress<T = Value> {
    /// Not finished; the part that is done, 0.0 to 1.0.
    Pending(f64),
    /// Finished, with the method's result.
    Succeeded(T),
    /// Ended with an error of XAPI's.
    Failed(Error),
    /// Ended because somebody cancelled it.
    Cancelled,
    /// The task vanished before its outcome was seen: look at the object itself.
    Lost,
}

impl<T> Progress<T> {
    /// The method's result, for those who want nothing else.
    ///
    /// # Errors
    ///
    /// A task that is still pending or was lost is an error of fault [`InDoubt`](Fault::InDoubt) with code `TASK_PENDING`
    /// or `TASK_LOST`; a cancelled one is `TASK_CANCELLED`.
    pub fn into_result(self) -> Result<T, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_a_result() {
        assert_eq!(Progress::Succeeded(1).into_result(), Ok(1));
        let ends: [(Progress, _, _); 3] = [
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
