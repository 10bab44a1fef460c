//! Where a task stands.

use smol_str::SmolStr;

use crate::events::{Ending, ending};
use crate::model::{Record, schema, typed};

/// Where a task stands.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskState {
    /// Still going; how far, 0.0 to 1.0. Even 1.0 does not mean done: xapi writes the progress before the status.
    Going(f64),
    /// Over.
    Ended(Ending),
}

impl TaskState {
    /// Reads the record of a task. The result of a task whose label names a method that the schema knows, as
    /// `Async.VM.clone` does, is typed by it.
    #[must_use]
    pub fn of(task: &Record) -> Self {
        match ending(task) {
            None => {
                let progress = task.get("progress").and_then(crate::Value::as_float).unwrap_or_default();
                TaskState::Going(if progress.is_nan() { 0.0 } else { progress.clamp(0.0, 1.0) })
            }
            Some(Ending::Succeeded(result)) => {
                let result = match schema::method(&method_of(task)) {
                    Some((_, method)) => typed(&method.result, result),
                    None => result,
                };
                TaskState::Ended(Ending::Succeeded(result))
            }
            Some(other) => TaskState::Ended(other),
        }
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match self {
            TaskState::Going(_) => None,
            TaskState::Ended(ending) => Some(ending),
        }
    }
}

/// The method that a task's label names, without `Async.`; any other label as it is.
pub(super) fn method_of(task: &Record) -> SmolStr {
    let label = task.text("name_label");
    label.strip_prefix("Async.").unwrap_or(label).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, Struct, Value};

    fn task(fields: &[(&str, Value)]) -> Record {
        let fields: Struct = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        Record::new("task", "OpaqueRef:t", fields)
    }

    #[test]
    fn a_pending_task_is_as_far_as_it_says_but_never_out_of_range() {
        for (progress, far) in [(0.25, 0.25), (1.0, 1.0), (7.0, 1.0), (-1.0, 0.0), (f64::NAN, 0.0)] {
            let pending = task(&[("status", "pending".into()), ("progress", progress.into())]);
            assert_eq!(TaskState::of(&pending), TaskState::Going(far));
        }
        assert_eq!(TaskState::of(&task(&[])), TaskState::Going(0.0));
    }

    #[test]
    fn a_result_is_typed_by_the_method_that_the_label_names() {
        let done = |label: &str, result: &str| {
            let fields =
                [("name_label", label.into()), ("status", "success".into()), ("result", result.into())];
            match TaskState::of(&task(&fields)) {
                TaskState::Ended(Ending::Succeeded(value)) => value,
                other => panic!("{other:?}"),
            }
        };
        let number = "<value>12</value>";
        assert_eq!(done("Async.host.compute_free_memory", number), Value::Int(12));
        assert_eq!(done("Async.VM.clone", "<value>OpaqueRef:c</value>"), "OpaqueRef:c".into());
        assert_eq!(done("Async.VM.start", "<value></value>"), Value::VOID);
        assert_eq!(done("a script's own", number), "12".into());
        assert_eq!(done("a script's own", "no XML"), "no XML".into());
    }

    #[test]
    fn failures_keep_code_and_parameters() {
        let words = Value::Array(vec!["VM_BAD_POWER_STATE".into(), "OpaqueRef:v".into(), "halted".into()]);
        let failed = task(&[("status", "failure".into()), ("error_info", words)]);
        let failure = Failure::new("VM_BAD_POWER_STATE", ["OpaqueRef:v", "halted"]);
        assert_eq!(TaskState::of(&failed).ending(), Some(&Ending::Failed(failure)));
        assert_eq!(
            TaskState::of(&task(&[("status", "cancelled".into())])).ending(),
            Some(&Ending::Cancelled)
        );
    }
}
