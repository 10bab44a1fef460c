//! Calls `VM.start` and makes sense of its answer.

use std::time::Duration;

use xapiary_sdk::xapi::{self, Class as _, Vm, VmPowerState};
use xapiary_sdk::{Error, Event, Failure, Fault, Outcome, Progress, error, info, warn};

/// How long one delivery waits for the VM to start. Shorter than a delivery may take by default; a start that takes longer is
/// met again by the next attempt: the pool says that it is in the way, or that the VM runs.
const WAIT: Duration = Duration::from_secs(20);

/// How long to pause before looking again at a start that is not finished, or that another operation is in the way of.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How many attempts it takes to give up when another operation is in the way, or when nobody knows what became of the start.
const PATIENT_ATTEMPTS: u32 = 6;

/// Starts the VM: not paused, and not against the pool's own judgement.
pub(crate) fn start(event: &Event, vm: &Vm, name: &str) -> Outcome {
    let uuid = &vm.uuid()?;
    let mut progress = begun(vm);
    // That start may be one of an earlier attempt, and the VM may have stopped again since, while nobody told us.
    if matches!(progress, Progress::Succeeded(())) && event.attempt > 1 && !runs(vm)? {
        progress = begun(vm);
    }
    match progress {
        Progress::Succeeded(()) => {
            info!(vm = uuid, "{name} runs again");
            Ok(())
        }
        Progress::Pending(_) => Err(Failure::retry(LOOK_AGAIN, format!("{name} is still starting"))),
        Progress::Cancelled => {
            warn!(vm = uuid, "somebody cancelled the start of {name}, so it is left alone");
            Ok(())
        }
        Progress::Lost => unless_it_runs(event, vm, name, uuid, "the task of the start vanished"),
        Progress::Failed(why) => failed(event, vm, name, uuid, why),
    }
}

fn begun(vm: &Vm) -> Progress<()> {
    match xapi::vm::start_async(vm, false, false) {
        Ok(task) => task.wait(WAIT),
        Err(error) => Progress::Failed(error),
    }
}

/// Whether the VM runs, as far as is known; that may be a moment old.
fn runs(vm: &Vm) -> Result<bool, Error> {
    Ok(match Vm::by_reference(&vm.reference())? {
        Some(now) => now.power_state()? == VmPowerState::Running,
        None => false,
    })
}

fn failed(event: &Event, vm: &Vm, name: &str, uuid: &str, why: Error) -> Outcome {
    match judge(&why) {
        Verdict::Faster => {
            info!(vm = uuid, "{name} was started by somebody else");
            Ok(())
        }
        Verdict::Planned => {
            info!(vm = uuid, "{name} would be started, but this is a dry run");
            Ok(())
        }
        Verdict::InTheWay if event.attempt < PATIENT_ATTEMPTS => Err(Failure::retry(
            LOOK_AGAIN,
            format!("another operation is in the way of starting {name}: {why}"),
        )),
        Verdict::Unknown => unless_it_runs(event, vm, name, uuid, &why.to_string()),
        Verdict::Later => Err(why.into()),
        Verdict::InTheWay | Verdict::Never => {
            error!(
                vm = uuid,
                code = why.code,
                advice = why.advice,
                "{name} is down and could not be started: {why}"
            );
            Err(why.into())
        }
    }
}

/// What an error of the call means for the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It runs already: somebody was faster.
    Faster,
    /// Nothing was done because nothing is to be done.
    Planned,
    /// It may work in a moment.
    InTheWay,
    /// The pool is out of reach: the next attempt may find it.
    Later,
    /// Nobody knows: look at the VM.
    Unknown,
    /// It will not work without a person.
    Never,
}

fn judge(error: &Error) -> Verdict {
    match (error.fault, error.code.as_str()) {
        // Its parameters are the VM, the state that it should have had, and the state that it has.
        (Fault::Xapi, "VM_BAD_POWER_STATE")
            if error.params.get(2).is_some_and(|state| state.eq_ignore_ascii_case("running")) =>
        {
            Verdict::Faster
        }
        (Fault::Xapi, "OTHER_OPERATION_IN_PROGRESS") => Verdict::InTheWay,
        (Fault::DryRun, _) => Verdict::Planned,
        (Fault::Transport, _) => Verdict::Later,
        (Fault::InDoubt, _) => Verdict::Unknown,
        _ => Verdict::Never,
    }
}

fn unless_it_runs(event: &Event, vm: &Vm, name: &str, uuid: &str, why: &str) -> Outcome {
    if runs(vm)? {
        info!(vm = uuid, "{name} runs again, although {why}");
        return Ok(());
    }
    // The daemon may have found the start by the next attempt, and what it shows of the VM may be a moment old.
    if event.attempt < PATIENT_ATTEMPTS {
        return Err(Failure::retry(LOOK_AGAIN, format!("it is not known whether {name} was started: {why}")));
    }
    error!(vm = uuid, "{name} does not run, and it is not known whether it was started: {why}");
    Err(Failure::give_up(format!("it is not known whether {name} was started, and it does not run: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fault: Fault, code: &str, params: &[&str]) -> Error {
        Error {
            fault,
            code: code.into(),
            params: params.iter().map(ToString::to_string).collect(),
            advice: String::new(),
        }
    }

    #[test]
    fn an_answer_means_one_thing() {
        let bad_state = |state| error(Fault::Xapi, "VM_BAD_POWER_STATE", &["ref:1", "halted", state]);
        let cases = [
            (bad_state("running"), Verdict::Faster),
            (bad_state("Running"), Verdict::Faster),
            (bad_state("suspended"), Verdict::Never),
            (error(Fault::Xapi, "VM_BAD_POWER_STATE", &[]), Verdict::Never),
            (error(Fault::Xapi, "OTHER_OPERATION_IN_PROGRESS", &["VM", "ref:1"]), Verdict::InTheWay),
            (error(Fault::Xapi, "HOST_NOT_ENOUGH_FREE_MEMORY", &["1", "0"]), Verdict::Never),
            (error(Fault::Denied, "VM_BAD_POWER_STATE", &["ref:1", "halted", "running"]), Verdict::Never),
            (error(Fault::Transport, "CONNECTION", &[]), Verdict::Later),
            (error(Fault::InDoubt, "CONNECTION", &[]), Verdict::Unknown),
            (error(Fault::DryRun, "VM.start", &[]), Verdict::Planned),
            (error(Fault::Limit, "CALLS", &[]), Verdict::Never),
        ];
        for (error, verdict) in cases {
            assert_eq!(judge(&error), verdict, "{error:?}");
        }
    }
}
