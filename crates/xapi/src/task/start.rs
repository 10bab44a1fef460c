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
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use std::time::Duration;
    /// use xapi::{CallOptions, TaskState, events::Ending};
    ///
    /// let lab = client.find_class("VM")?.by_name_label("lab").await?.remove(0);
    /// let arguments = [lab.as_str().into(), false.into(), false.into()];
    /// let task = client.start("VM.start", &arguments, &CallOptions::default()).await?;
    /// match task.wait(Duration::from_secs(60)).await? {
    ///     TaskState::Ended(Ending::Succeeded(_)) => println!("it runs"),
    ///     TaskState::Ended(Ending::Failed(failure)) => println!("it does not start: {failure}"),
    ///     TaskState::Ended(Ending::Cancelled) => println!("somebody cancelled the start"),
    ///     TaskState::Ended(Ending::Lost) => println!("not known: look at the VM"),
    ///     TaskState::Going(progress) => println!("still at it, {:.0} %", progress * 100.0),
    /// }
    ///
    /// // A getter has no asynchronous form; nothing is sent.
    /// let error = client.start("VM.get_tags", &[lab.as_str().into()], &CallOptions::default()).await.unwrap_err();
    /// assert!(matches!(error, xapi::Error::NoAsync { .. }));
    /// # Ok(()) });
    /// ```
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
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// let reference = client.call("task.create", &["by hand".into(), "a task of our own".into()]).await?;
    /// let task = client.task(reference.as_str().unwrap_or_default());
    /// assert_eq!(task.state().await?, xapi::TaskState::Going(0.0));
    /// task.release().await?;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn task(&self, reference: impl Into<SmolStr>) -> Task {
        Task::new(self.clone(), reference.into(), "task".into(), None, false)
    }

    /// The tasks of the pool that carry a mark with this key, whoever started them and whether or not they have ended.
    /// The handles do not own their tasks.
    ///
    /// xapi cannot search in maps, so this reads all tasks. Tasks do not outlive a restart of the toolstack.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use xapi::{CallOptions, Mark};
    ///
    /// let lab = client.find_class("VM")?.by_name_label("lab").await?.remove(0);
    /// let options = CallOptions::marked(Mark::new("nightly", "lab/copy")?);
    /// let task = client.start("VM.clone", &[lab.as_str().into(), "copy of lab".into()], &options).await?;
    /// // The program ends here and leaves the task alone ...
    /// task.keep();
    /// // ... and, started again, finds it and goes on.
    /// for task in client.marked("nightly").await? {
    ///     let copy = task.own().result().await?;
    ///     println!("the copy is {copy:?}");
    /// }
    /// assert!(client.marked("nightly").await?.is_empty(), "what was read is destroyed");
    /// # Ok(()) });
    /// ```
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
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use std::time::Duration;
    /// use xapi::{Struct, TaskState, Value, events::Ending, model::Record};
    ///
    /// let reference = client.call("task.create", &["by hand".into(), "".into()]).await?;
    /// let task = client.task(reference.as_str().unwrap_or_default());
    /// let feed = client.task_feed();
    /// // What an `event.from` of our own brings:
    /// let fields = Struct::from_iter([("status".into(), Value::from("cancelled"))]);
    /// let told = Record::new("task", task.reference().clone(), fields);
    /// let (state, ()) = tokio::join!(task.wait(Duration::from_secs(9)), async { feed.seen(&told) });
    /// assert_eq!(state?, TaskState::Ended(Ending::Cancelled));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn task_feed(&self) -> TaskFeed {
        TaskFeed::new(self.clone())
    }
}
