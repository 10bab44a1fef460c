//! Tasks: the record of a call under way, from its first `add` to the status that is written last.
//!
//! An `Async.` call's task stays until somebody destroys it; a synchronous call's task goes when the call returns.

mod collecting;
mod verbs;

use std::collections::HashMap;
use std::time::Duration;

use smol_str::SmolStr;
use xapi::codec::{Reply, xml};
use xapi::{Struct, Value};

use crate::arguments::Arguments;
use crate::clock::Moment;
use crate::dispatch::Handler;
use crate::failures;
use crate::operation::{Operation, Stage};
use crate::pool::{Pool, Step};

/// Between a task's other last writes and its status; seconds at speed 1.
const SETTLING: f64 = 0.003;
/// Between an asynchronous call's reply and its work; seconds at speed 1.
const STARTING: f64 = 0.002;
/// A synchronous caller that has not come for its reply by then has hung up.
const REPLY_KEPT: Duration = Duration::from_secs(60);

/// Calls under way by task.
pub(crate) type Jobs = HashMap<SmolStr, Job>;

/// Sessions by the task that each began; tasks of the pool's own making have none.
pub(crate) type Owners = HashMap<SmolStr, SmolStr>;

/// How far old pending tasks had come at the last look.
pub(crate) type Stalled = HashMap<SmolStr, f64>;

/// One call under way.
pub(crate) struct Job {
    /// Whether somebody waits for the reply, so that the task is not kept.
    waits: bool,
    work: Work,
    outcome: Option<Reply>,
    done: Option<Moment>,
    cancelled: bool,
}

enum Work {
    /// Not begun.
    Call(Handler, Arguments),
    /// Under way.
    Operation(Operation),
    /// Under way at another pool's door.
    Elsewhere,
    /// Done, or nothing to wait for.
    Nothing,
}

/// What a method comes back with.
pub(crate) enum Outcome {
    /// The result, at once.
    Done(Value),
    /// Something that takes its time.
    Lasting(Operation),
    /// Something that another pool's door decides; [`Pool::come_back`] tells how it went.
    Elsewhere,
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Self {
        Outcome::Done(value)
    }
}

/// What a new task is to know of its call.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// From the request's own headers, keys already with their `http:`.
    pub(crate) other_config: Vec<(SmolStr, SmolStr)>,
    /// The task whose child it becomes.
    pub(crate) subtask_of: Option<SmolStr>,
}

impl Pool {
    /// Adds a pending task that a session began.
    pub(crate) fn new_task(
        &mut self,
        label: &str,
        description: &str,
        origin: &Origin,
        session: &SmolStr,
    ) -> SmolStr {
        let reference = self.random.reference();
        let other_config: Struct = origin
            .other_config
            .iter()
            .map(|(key, value)| (key.clone(), Value::String(value.clone())))
            .collect();
        let mut fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("name_label", label.into()),
            ("name_description", description.into()),
            ("created", self.clock.date()),
            ("status", "pending".into()),
            ("resident_on", Value::String(self.coordinator())),
            ("other_config", Value::Struct(other_config)),
        ];
        if let Some(parent) = &origin.subtask_of {
            fields.push(("subtask_of", Value::String(parent.clone())));
        }
        self.database.create("task", &reference, fields);
        self.owners.insert(reference.clone(), session.clone());
        let mut tasks = self.database.words("session", session, "tasks");
        tasks.insert(0, reference.clone());
        self.list_tasks(session, tasks);
        reference
    }

    /// Takes a task away.
    pub(crate) fn remove_task(&mut self, task: &str) {
        self.database.delete("task", task);
        if let Some(session) = self.owners.remove(task) {
            let mut tasks = self.database.words("session", &session, "tasks");
            tasks.retain(|listed| listed != task);
            self.list_tasks(&session, tasks);
        }
    }

    /// The other end of the relation: the database keeps it not, since a task's session shows in no record.
    fn list_tasks(&mut self, session: &str, tasks: Vec<SmolStr>) {
        let tasks = tasks.into_iter().map(Value::String).collect();
        self.database.write("session", session, "tasks", Value::Array(tasks));
    }

    /// Whether a task has not ended.
    pub(crate) fn is_pending(&self, task: &str) -> bool {
        self.database.text("task", task, "status") == "pending"
    }

    /// Starts an asynchronous call and returns its task.
    pub(crate) fn start_later(
        &mut self,
        label: &str,
        handler: Handler,
        arguments: Arguments,
        origin: &Origin,
    ) -> SmolStr {
        let task = self.new_task(label, "", origin, &arguments.session);
        self.add_job(&task, false, handler, arguments);
        self.schedule.add(self.clock.now() + self.clock.lasting(STARTING), Step::Begin(task.clone()));
        task
    }

    /// Starts a synchronous call and returns its task, which is gone when the reply can be taken.
    pub(crate) fn start_now(
        &mut self,
        label: &str,
        handler: Handler,
        arguments: Arguments,
        origin: &Origin,
    ) -> SmolStr {
        let task = self.new_task(label, "", origin, &arguments.session);
        self.add_job(&task, true, handler, arguments);
        self.begin(&task);
        task
    }

    /// The reply of a synchronous call, once, when it is there.
    pub(crate) fn take_reply(&mut self, task: &str) -> Option<Reply> {
        let job = self.jobs.get(task)?;
        job.done?;
        self.jobs.remove(task).and_then(|job| job.outcome)
    }

    /// Whether the call of this task is still known.
    pub(crate) fn has_job(&self, task: &str) -> bool {
        self.jobs.contains_key(task)
    }

    /// Runs the method of a task.
    pub(crate) fn begin(&mut self, task: &SmolStr) {
        let Some(job) = self.jobs.get_mut(task) else { return };
        let Work::Call(handler, mut arguments) = std::mem::replace(&mut job.work, Work::Nothing) else {
            return;
        };
        if job.cancelled {
            return self.complete(task, Err(failures::task_cancelled(task)));
        }
        arguments.task = Some(task.clone());
        match handler.run(self, &arguments) {
            Ok(Outcome::Done(value)) => self.complete(task, Ok(value)),
            Err(failure) => self.complete(task, Err(failure)),
            Ok(Outcome::Elsewhere) => {
                if let Some(job) = self.jobs.get_mut(task) {
                    job.work = Work::Elsewhere;
                }
            }
            Ok(Outcome::Lasting(operation)) => {
                self.take_up(&operation, task);
                let now = self.clock.now();
                let whole = self.clock.lasting(operation.seconds());
                if !operation.is_staged() {
                    for fraction in [0.25, 0.5, 0.75] {
                        let at = now + whole.mul_f64(fraction);
                        self.schedule.add(at, Step::Progress(task.clone(), fraction));
                    }
                }
                self.schedule.add(now + whole, Step::Finish(task.clone()));
                self.database.write("task", task, "allowed_operations", Value::Array(vec!["cancel".into()]));
                if let Some(job) = self.jobs.get_mut(task) {
                    job.work = Work::Operation(operation);
                }
            }
        }
    }

    /// Shows how far a task has come; a cancelled one ends here.
    pub(crate) fn progress(&mut self, task: &SmolStr, fraction: f64) {
        let Some(job) = self.jobs.get_mut(task) else { return };
        if !matches!(job.work, Work::Operation(_)) {
            return;
        }
        if job.cancelled {
            if let Work::Operation(operation) = std::mem::replace(&mut job.work, Work::Nothing) {
                self.give_up(&operation, task);
            }
            return self.complete(task, Err(failures::task_cancelled(task)));
        }
        self.database.write("task", task, "progress", fraction);
    }

    /// A stage of a task's work is done: its effect shows, then the next begins or the task ends.
    pub(crate) fn finish(&mut self, task: &SmolStr) {
        let Some(job) = self.jobs.get_mut(task) else { return };
        let Work::Operation(mut operation) = std::mem::replace(&mut job.work, Work::Nothing) else { return };
        match self.carry_out(&mut operation, task) {
            Stage::Done(reply) => self.complete(task, reply),
            Stage::Next { seconds, progress, .. } => {
                self.database.write("task", task, "progress", progress);
                self.schedule.add(self.clock.now() + self.clock.lasting(seconds), Step::Finish(task.clone()));
                if let Some(job) = self.jobs.get_mut(task) {
                    job.work = Work::Operation(operation);
                }
            }
        }
    }

    /// What another pool's door was asked for has come to an end. The task may be gone meanwhile.
    pub(crate) fn come_back(&mut self, task: &SmolStr, reply: Reply) {
        if let Some(job) = self.jobs.get_mut(task)
            && matches!(job.work, Work::Elsewhere)
        {
            job.work = Work::Nothing;
            self.complete(task, reply);
        }
    }

    /// Writes a task's status, the last of its writes.
    pub(crate) fn settle(&mut self, task: &SmolStr) {
        let Some(job) = self.jobs.get_mut(task) else { return };
        let waits = job.waits;
        let status = match &job.outcome {
            Some(Ok(_)) => "success",
            Some(Err(failure)) if failure.code == "TASK_CANCELLED" => "cancelled",
            _ => "failure",
        };
        // Somebody may have settled it by hand; xapi leaves that alone.
        if self.is_pending(task) {
            self.database.write("task", task, "status", status);
        }
        if waits {
            self.schedule.add(self.clock.now(), Step::Discard(task.clone()));
        } else {
            self.jobs.remove(task);
        }
    }

    /// Takes away a synchronous call's task and lets its reply go.
    pub(crate) fn discard(&mut self, task: &SmolStr) {
        self.remove_task(task);
        let now = self.clock.now();
        if let Some(job) = self.jobs.get_mut(task) {
            job.done = Some(now);
        }
        self.stirs += 1;
    }

    /// Forgets all calls under way; whoever waits for one finds it gone.
    pub(crate) fn abandon_jobs(&mut self) {
        let jobs = std::mem::take(&mut self.jobs);
        for (task, job) in jobs {
            if let Work::Operation(operation) = job.work {
                self.give_up(&operation, &task);
            }
        }
        self.stirs += 1;
    }

    fn add_job(&mut self, task: &SmolStr, waits: bool, handler: Handler, arguments: Arguments) {
        let work = Work::Call(handler, arguments);
        let job = Job { waits, work, outcome: None, done: None, cancelled: false };
        self.jobs.insert(task.clone(), job);
    }

    /// The writes that end a task in xapi's order, but for its status.
    fn complete(&mut self, task: &SmolStr, reply: Reply) {
        if self.is_pending(task) {
            let date = self.clock.date();
            let nothing = || Value::Array(Vec::new());
            match &reply {
                Ok(value) => {
                    self.database.write("task", task, "allowed_operations", nothing());
                    self.database.write("task", task, "finished", date);
                    self.database.write("task", task, "progress", 1.0);
                    self.database.write("task", task, "result", xml::encode_value(value));
                }
                Err(failure) => {
                    let words = std::iter::once(&failure.code).chain(&failure.parameters);
                    let words: Vec<Value> = words.map(|word| Value::String(word.clone())).collect();
                    self.database.write("task", task, "progress", 1.0);
                    self.database.write("task", task, "error_info", Value::Array(words));
                    self.database.write("task", task, "finished", date);
                    self.database.write("task", task, "allowed_operations", nothing());
                }
            }
        }
        if let Some(job) = self.jobs.get_mut(task) {
            job.outcome = Some(reply);
        }
        self.schedule.add(self.clock.now() + self.clock.lasting(SETTLING), Step::Settle(task.clone()));
    }
}
