//! What the pool answers in a test.

use std::collections::{BTreeMap, VecDeque};

use crate::{Error, Fault, Progress, Value};

/// What a call of a test gives. A call that no answer was given for succeeds.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It succeeds, with a result that says nothing: an empty text, zero, or an object that has just been made.
    Default,
    /// It ends so. For a call that waits, [`Progress::Succeeded`] is the answer and [`Progress::Failed`] the error; for a
    /// task it is what waiting for it gives.
    Ends(Progress<Value>),
}

impl Answer {
    /// It succeeds with this result.
    ///
    /// ```
    /// use xapiary_sdk::testing::Answer;
    /// let answer = Answer::value(42);
    /// ```
    pub fn value(value: impl Into<Value>) -> Answer {
        Answer::Ends(Progress::Succeeded(value.into()))
    }

    /// XAPI says no, with a code and its parameters.
    ///
    /// ```
    /// use xapiary_sdk::testing::Answer;
    /// let answer = Answer::error("VM_BAD_POWER_STATE", ["ref:1", "halted", "running"]);
    /// ```
    pub fn error<const N: usize>(code: &str, params: [&str; N]) -> Answer {
        Answer::fault(Fault::Xapi, code, params)
    }

    /// It fails for another reason: a call that the grant does not allow ([`Fault::Denied`]), a pool that is out of reach
    /// ([`Fault::Transport`]), an outcome that nobody knows ([`Fault::InDoubt`]), a dry run ([`Fault::DryRun`]).
    ///
    /// ```
    /// use xapiary_sdk::{Fault, testing::Answer};
    /// let answer = Answer::fault(Fault::Transport, "UNREACHABLE", ["connection refused"]);
    /// ```
    pub fn fault<const N: usize>(fault: Fault, code: &str, params: [&str; N]) -> Answer {
        Answer::Ends(Progress::Failed(Error {
            fault,
            code: code.to_owned(),
            params: params.map(str::to_owned).to_vec(),
            advice: String::new(),
        }))
    }

    /// The task is not finished, however long the plugin waits.
    pub fn pending() -> Answer {
        Answer::Ends(Progress::Pending(0.5))
    }

    /// Somebody cancels the task.
    pub fn cancelled() -> Answer {
        Answer::Ends(Progress::Cancelled)
    }

    /// The task vanishes before its outcome is seen.
    pub fn lost() -> Answer {
        Answer::Ends(Progress::Lost)
    }
}

/// The answers that a test has given, by method.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    given: BTreeMap<String, VecDeque<Answer>>,
}

impl Answers {
    pub(super) fn give(&mut self, method: &str, answer: Answer) {
        self.given.entry(method.to_owned()).or_default().push_back(answer);
    }

    /// In the order in which they were given; the last one stays.
    pub(super) fn next(&mut self, method: &str) -> Answer {
        let Some(answers) = self.given.get_mut(method) else { return Answer::Default };
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.unwrap_or(Answer::Default)
    }
}
