//! What takes its time: where it shows, how long it lasts, what happens then, and perhaps what comes next.
//!
//! An operation shows in `current_operations` of every object that it holds, under its task. It is over when its
//! last stage is done, when it is cancelled between stages, or when xapi restarts. Knows no class and no method.

pub(crate) mod allowed;
#[cfg(test)]
mod invariants;

use smol_str::SmolStr;
use xapi::codec::{Failure, Reply};
use xapi::{Struct, Value};

use crate::pool::Pool;
use crate::tasks::Outcome;

/// One object that an operation shows on, and the word that shows there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) class: &'static str,
    pub(crate) reference: SmolStr,
    pub(crate) word: &'static str,
}

/// What comes after a stage.
pub(crate) enum Stage {
    /// Nothing: this is the result.
    Done(Reply),
    /// Another stage, which ends after so many seconds at speed 1.
    Next {
        /// How long it lasts.
        seconds: f64,
        /// How far the whole has come, from 0 to 1.
        progress: f64,
        /// Where the stage shows, besides where the whole does.
        marks: Vec<Mark>,
    },
}

/// What an operation does at the end of each stage. The task is told so that the work can leave out its own marks.
type Work = Box<dyn FnMut(&mut Pool, &str) -> Stage + Send>;

/// Something under way.
pub(crate) struct Operation {
    /// Where it shows from beginning to end.
    marks: Vec<Mark>,
    /// Where its present stage shows.
    stage: Vec<Mark>,
    seconds: f64,
    staged: bool,
    work: Work,
}

impl Operation {
    /// Something that has its effect at its end, after so many seconds at speed 1.
    pub(crate) fn lasting(
        seconds: f64,
        effect: impl FnOnce(&mut Pool) -> Result<Value, Failure> + Send + 'static,
    ) -> Self {
        let mut effect = Some(effect);
        let work = move |pool: &mut Pool, _: &str| {
            // An operation is done once: its first stage is its last.
            Stage::Done(effect.take().map_or(Ok(Value::VOID), |effect| effect(pool)))
        };
        Operation { marks: Vec::new(), stage: Vec::new(), seconds, staged: false, work: Box::new(work) }
    }

    /// Something that goes in stages; the first one begins at once.
    pub(crate) fn staged(work: impl FnMut(&mut Pool, &str) -> Stage + Send + 'static) -> Self {
        Operation { marks: Vec::new(), stage: Vec::new(), seconds: 0.0, staged: true, work: Box::new(work) }
    }

    /// Shows on this object, too.
    pub(crate) fn on(mut self, class: &'static str, reference: &str, word: &'static str) -> Self {
        self.marks.push(Mark { class, reference: reference.into(), word });
        self
    }

    /// How long its first stage lasts at speed 1.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Whether it tells by itself how far it has come.
    pub(crate) fn is_staged(&self) -> bool {
        self.staged
    }
}

impl From<Operation> for Outcome {
    fn from(operation: Operation) -> Self {
        Outcome::Lasting(operation)
    }
}

impl Pool {
    /// The operation begins: it shows.
    pub(crate) fn take_up(&mut self, operation: &Operation, task: &str) {
        for mark in &operation.marks {
            self.show(mark, task);
        }
    }

    /// A stage's time is up: its effect shows. The marks are still there while it works.
    pub(crate) fn carry_out(&mut self, operation: &mut Operation, task: &str) -> Stage {
        let stage = (operation.work)(self, task);
        for mark in std::mem::take(&mut operation.stage) {
            self.hide(&mark, task);
        }
        match &stage {
            Stage::Done(_) => self.give_up(operation, task),
            Stage::Next { marks, .. } => {
                for mark in marks {
                    self.show(mark, task);
                }
                operation.stage.clone_from(marks);
            }
        }
        stage
    }

    /// The operation is over, with or without its effect: it no longer shows.
    pub(crate) fn give_up(&mut self, operation: &Operation, task: &str) {
        for mark in operation.stage.iter().chain(&operation.marks) {
            self.hide(mark, task);
        }
    }

    /// What is under way on an object: tasks with words.
    pub(crate) fn current(&self, class: &str, reference: &str) -> Vec<(SmolStr, SmolStr)> {
        self.current_operations(class, reference)
            .iter()
            .map(|(task, word)| (task.clone(), word.as_str().unwrap_or_default().into()))
            .collect()
    }

    fn current_operations(&self, class: &str, reference: &str) -> Struct {
        let operations = self.database.value(class, reference, "current_operations");
        operations.and_then(Value::as_struct).cloned().unwrap_or_default()
    }

    fn show(&mut self, mark: &Mark, task: &str) {
        let mut operations = self.current_operations(mark.class, &mark.reference);
        operations.insert(task, mark.word);
        self.database.write(mark.class, &mark.reference, "current_operations", Value::Struct(operations));
    }

    fn hide(&mut self, mark: &Mark, task: &str) {
        let mut operations = self.current_operations(mark.class, &mark.reference);
        if operations.remove(task).is_some() {
            self.database.write(mark.class, &mark.reference, "current_operations", Value::Struct(operations));
        }
        if mark.class == "VM" {
            // A place kept on a host is kept for an operation only.
            self.database.write("VM", &mark.reference, "scheduled_to_be_resident_on", xapi::NULL_REF);
        }
    }
}
