//! Tasks that nobody needs are thrown away: by age, by mark, by number.

use smol_str::SmolStr;
use xapi::Value;

use super::{Pool, REPLY_KEPT, Stalled};

/// A finished task is thrown away after so many seconds.
const FINISHED_KEPT: i64 = 3900;
/// A task that is pending so long, in seconds, must have come on since the last look.
const PENDING_KEPT: i64 = 24 * 3600;
/// More tasks than this, and finished ones are thrown away early.
const TASKS_MAX: usize = 200;

impl Pool {
    /// Throws away what is old, marked or too much.
    pub(crate) fn reap_tasks(&mut self) {
        let now = self.clock.now();
        self.jobs.retain(|_, job| job.done.is_none_or(|done| now.saturating_sub(done) < REPLY_KEPT));
        let old_finished = self.clock.date_before(FINISHED_KEPT);
        let old_pending = self.clock.date_before(PENDING_KEPT);
        let tasks: Vec<SmolStr> =
            self.database.table("task").map(|table| table.rows.keys().cloned().collect()).unwrap_or_default();
        let before = std::mem::take(&mut self.stalled);
        let mut finished = Vec::new();
        let mut young = 0usize;
        for task in tasks {
            let pending = self.is_pending(&task);
            let at = SmolStr::new(self.database.text("task", &task, "finished"));
            let gone = if !pending {
                self.is_marked(&task) || at < old_finished
            } else if self.database.text("task", &task, "created") < old_pending.as_str() {
                self.has_stalled(&task, &before)
            } else {
                false
            };
            if gone {
                self.remove_task(&task);
                continue;
            }
            young += 1;
            if !pending {
                finished.push((at, task));
            }
        }
        if young > TASKS_MAX {
            finished.sort();
            // With more than 200 finished ones this leaves none of them, as it does in xapi.
            let keep = TASKS_MAX.saturating_sub(finished.len());
            let surplus = finished.len().saturating_sub(keep);
            for (_, task) in finished.into_iter().take(surplus) {
                self.remove_task(&task);
            }
        }
    }

    /// Whether an old pending task is where it was at the last look. At its first one it gets another chance.
    fn has_stalled(&mut self, task: &SmolStr, before: &Stalled) -> bool {
        let progress = self.database.value("task", task, "progress").and_then(Value::as_float);
        let progress = progress.unwrap_or_default();
        self.stalled.insert(task.clone(), progress);
        before.get(task).is_some_and(|before| progress <= *before)
    }

    /// Whether somebody destroyed it while it was pending.
    fn is_marked(&self, task: &str) -> bool {
        let operations = self.database.value("task", task, "current_operations").and_then(Value::as_struct);
        operations.is_some_and(|marks| marks.iter().any(|(_, word)| word.as_str() == Some("destroy")))
    }
}
