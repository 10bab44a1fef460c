//! What answers the plugin while a delivery runs in a test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value as Json};

use super::answer::{Answer, Answers};
use super::records::{Records, blank};
use super::run::{Call, Line};
use super::schema;
use crate::{Error, Fault, Progress, Reference, Value};

thread_local! {
    /// The delivery that runs in this thread's test.
    static RUNNING: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// One delivery on its way.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) records: Records,
    pub(crate) settings: Map<String, Json>,
    pub(crate) secrets: BTreeMap<String, String>,
    /// What earlier deliveries have left in the store.
    pub(crate) stored: BTreeMap<String, Vec<u8>>,
    /// What this one has written; `None` is deleted.
    pub(crate) written: BTreeMap<String, Option<Vec<u8>>>,
    pub(super) answers: Answers,
    pub(crate) calls: Vec<Call>,
    pub(crate) log: Vec<Line>,
}

/// Does something with the running delivery.
pub(crate) fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    let running = RUNNING.with_borrow(Clone::clone);
    let Some(running) = running else {
        panic!(
            "the daemon answers this function, and there is none here: in a test, call it from a handler that a \
             `xapiary_sdk::testing::World` delivers an event to"
        );
    };
    let mut state = running.borrow_mut();
    work(&mut state)
}

/// Makes a delivery the running one while `work` runs, and gives it back.
pub(super) fn running<T>(state: State, work: impl FnOnce() -> T) -> (State, T) {
    /// Taken away also when the handler panics, so that the next test of this thread begins without it.
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            RUNNING.take();
        }
    }
    let shared = Rc::new(RefCell::new(state));
    RUNNING.set(Some(Rc::clone(&shared)));
    let guard = Guard;
    let result = work();
    drop(guard);
    (shared.take(), result)
}

impl State {
    /// The answer to a call, which is noted.
    pub(crate) fn answer(
        &mut self,
        method: &str,
        arguments: Vec<Value>,
        asynchronous: bool,
    ) -> Result<Progress<Value>, Error> {
        let known = schema::method(method).map_err(|why| teaching("UNKNOWN_METHOD", method, why))?;
        if asynchronous && !known.asynchronous {
            let why = format!("XAPI has no Async.{method}: call it without a task");
            return Err(teaching("NOT_ASYNCHRONOUS", method, why));
        }
        let most = known.parameters.len();
        if arguments.len() > most || arguments.len() < most - known.optional {
            let why = format!(
                "{method} takes {most} arguments besides the session, and {} are given",
                arguments.len()
            );
            return Err(teaching("ARGUMENT_COUNT", method, why));
        }
        let shown = arguments.iter().map(|argument| self.shown(argument)).collect();
        self.calls.push(Call { method: method.to_owned(), arguments, shown, asynchronous });
        match self.answers.next(method) {
            Answer::Default => Ok(Progress::Succeeded(match &known.result {
                // What was made is an object that nobody has described.
                schema::Type::Ref(_) => Value::Reference(Reference(format!("ref:made-{}", self.calls.len()))),
                kind => blank(kind),
            })),
            Answer::Ends(Progress::Failed(error)) if error.fault != Fault::Xapi || !asynchronous => {
                Err(error)
            }
            Answer::Ends(progress) => Ok(progress),
        }
    }

    /// A value as a report shows it: objects by their names.
    pub(super) fn shown(&self, value: &Value) -> String {
        let named = |reference: &Reference| match self.records.get(reference) {
            Some(stored) => stored.name.clone(),
            None => reference.as_str().to_owned(),
        };
        match value {
            Value::Nothing => "null".to_owned(),
            Value::Text(text) => format!("{text:?}"),
            Value::Whole(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Truth(truth) => truth.to_string(),
            Value::Moment(moment) => moment.to_string(),
            Value::Reference(reference) => named(reference),
            Value::Texts(texts) => format!("{texts:?}"),
            Value::References(references) => {
                format!("[{}]", references.iter().map(named).collect::<Vec<_>>().join(", "))
            }
            Value::Pairs(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            Value::Json(json) => json.clone(),
        }
    }
}

/// An error of the plugin's own side, with what to do about it.
pub(crate) fn teaching(code: &str, what: &str, advice: String) -> Error {
    let mut error = Error::invalid(code, &[what]);
    error.advice = advice;
    error
}
