//! How a client comes to a task: starts one, finds one by its mark, or is told its reference.

use smol_str::SmolStr;

use super::feed::TaskFeed;
use super::mark::Mark;
use super::state::method_of;
use super::{Task, waiting};
use crate::client::{CallOptions, Client};
use crate::error::Error;
use crate::model::{Record, schema};
use crate::value::Value;

impl Client {
    /// Starts a method as a task, `Async.METHOD` on the wire. xapi answers with the task at once; refusals that need
    /// more than a look at the arguments come as the task's end.
    ///
    /// # Errors
    /// [`Error::NoAsync`] without anything sent, where the schema knows the method and that it has no asynchronous form
    /// (getters, setters); otherwise as for [`Client::call`]. When no answer came the method may have been started: with
    /// a mark, [`Client::marked`] finds out.
    pub async fn start(
        &self,
        method: &str,
        arguments: &[Value],
        options: &CallOptions,
    ) -> Result<Task, Error> {
        let method = method.strip_prefix("Async.").unwrap_or(method);
        if schema::method(method).is_some_and(|(_, known)| !known.asynchronous) {
            return Err(Error::NoAsync { method: method.to_owned() });
        }
        self.waiting().sweep(self).await;
        let wire = format!("Async.{method}");
        match self.call_with(&wire, arguments, options).await? {
            Value::String(task) if task.starts_with("OpaqueRef:") => {
                Ok(Task::new(self.clone(), task, method.into(), options.mark().cloned(), true))
            }
            _ => Err(waiting::no(&wire, "the answer is no task")),
        }
    }

    /// A handle on any task, to look at, wait for or cancel. Nothing is asked.
    #[must_use]
    pub fn task(&self, reference: impl Into<SmolStr>) -> Task {
        Task::new(self.clone(), reference.into(), "task".into(), None, false)
    }

    /// The tasks of the pool that carry a mark with this key, whoever started them and whether or not they have ended.
    /// The handles do not own their tasks.
    ///
    /// xapi cannot search in maps, so this reads all tasks. Tasks do not outlive a restart of the toolstack.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub async fn marked(&self, key: &str) -> Result<Vec<Task>, Error> {
        let method = "task.get_all_records";
        let Value::Struct(records) = self.call(method, &[]).await? else {
            return Err(waiting::no(method, "the answer is no map of records"));
        };
        let stored = Mark::stored_key(key);
        let found = records.into_iter().filter_map(|(reference, fields)| {
            let Value::Struct(fields) = fields else { return None };
            let task = Record::new("task", reference, fields);
            let value = task.get("other_config")?.as_struct()?.get(&stored)?.as_str()?;
            // Others may have written there what we would not.
            let mark = Mark::new(key, value).ok()?;
            Some(Task::new(self.clone(), task.reference.clone(), method_of(&task), Some(mark), false))
        });
        Ok(found.collect())
    }

    /// Lets the caller tell this client's waiters what happens to tasks, instead of a poll of their own.
    #[must_use]
    pub fn task_feed(&self) -> TaskFeed {
        TaskFeed::new(self.clone())
    }
}
