//! What clients do to tasks: cancel, destroy. Everybody may with his own; those of others need a strong role.

use smol_str::format_smolstr;
use xapi::codec::Failure;
use xapi::{Struct, Value};

use super::{Outcome, Pool, Work};
use crate::pool::Step;
use crate::roles;

impl Pool {
    /// `task.cancel`: a wish, never an error for a task that is there, even one that has ended.
    pub(crate) fn cancel_task(&mut self, session: &str, task: &str) -> Result<Outcome, Failure> {
        self.known("task", task)?;
        self.assert_own_task(session, task)?;
        // A call on tasks has no task of its own: xapi names it by a reference that is nobody's.
        let by = format_smolstr!("DummyRef:|{}|task.cancel", self.random.uuid());
        let mark: Struct = [(by, "cancel".into())].into_iter().collect();
        self.database.write("task", task, "current_operations", Value::Struct(mark));
        if let Some(job) = self.jobs.get_mut(task) {
            job.cancelled = true;
            // Look at once rather than at the next quarter.
            if matches!(job.work, Work::Operation(_)) {
                self.schedule.add(self.clock.now(), Step::Progress(task.into(), 0.0));
            }
        }
        Ok(Value::VOID.into())
    }

    /// `task.destroy`: a finished task goes, a pending one is marked and goes when it has ended.
    pub(crate) fn destroy_task(&mut self, session: &str, task: &str) -> Result<Outcome, Failure> {
        self.known("task", task)?;
        self.assert_own_task(session, task)?;
        if self.is_pending(task) {
            let marks = self.database.value("task", task, "current_operations").and_then(Value::as_struct);
            let mut marks = marks.cloned().unwrap_or_default();
            marks.insert("task", "destroy");
            self.database.write("task", task, "current_operations", Value::Struct(marks));
        } else {
            self.remove_task(task);
        }
        Ok(Value::VOID.into())
    }

    /// Refuses somebody who is bound by a role and has no part in a task. A task whose session is over is nobody's.
    pub(crate) fn assert_own_task(&self, session: &str, task: &str) -> Result<(), Failure> {
        let Some(role) = self.role(session) else { return Ok(()) };
        let owner = self.owners.get(task).and_then(|owner| self.subject(owner));
        if owner.is_some() && owner == self.subject(session) {
            return Ok(());
        }
        roles::permit_any_task(role)
    }
}
