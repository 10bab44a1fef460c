//! From a decoded call to its answer: which method, with which arguments, in which session, with or without a task.
//!
//! The order of checks is xapi's: method, number of arguments, their types, the session, then the method itself.

use std::time::Duration;

use smol_str::SmolStr;
use xapi::codec::{Call, Failure, Reply};
use xapi::model::schema::{self, Class, Method, Parameter, Type};
use xapi::{Struct, Value};

use crate::arguments::{self, Arguments};
use crate::events::Subscription;
use crate::pool::Pool;
use crate::tasks::{Origin, Outcome};
use crate::{emergency, failures, generated, methods, roles};

/// Seconds at speed 1 that a refused login is kept waiting, as xapi does against guessing.
const REFUSAL_DELAY: f64 = 5.0;

/// What a method that nobody knows is taken for.
const EXTENSION: &str = "host.call_extension";

/// The way a call came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// HTTP or HTTPS of this host: anybody may be there.
    Network(SmolStr),
    /// The Unix socket: whoever gets there is root.
    Local,
}

/// A call with what its request says beside the body.
pub(crate) struct Request {
    pub(crate) call: Call,
    pub(crate) door: Door,
    pub(crate) origin: Origin,
}

/// What the door does next.
pub(crate) enum Answer {
    /// Answer so.
    Reply(Reply),
    /// Answer with a bare value, without the envelope.
    Bare(Value),
    /// Answer so, as an error that was raised before any dispatch.
    Early(Failure),
    /// Answer so, after a while.
    Later(Duration, Reply),
    /// Wait until the task's reply is there.
    Task(SmolStr),
    /// Wait until there is something to tell.
    Events(Subscription),
    /// The same in the old way, for this session.
    NextEvents(SmolStr),
}

/// A method to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handler {
    class: &'static Class,
    method: &'static Method,
    way: Way,
}

/// How a method is done.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By a function of its own.
    Custom(methods::Custom),
    /// As the datamodel says.
    Generated(generated::Kind),
    /// By writing a field.
    Plain(methods::PlainSetter),
    /// Not at all.
    Unknown,
}

impl Handler {
    /// How a method of the datamodel is done here.
    pub(crate) fn of(class: &'static Class, method: &'static Method) -> Self {
        let way = methods::of(class.name, method.name)
            .map(Way::Custom)
            .or_else(|| generated::kind(class, method.name).map(Way::Generated))
            .or_else(|| methods::plain_setter(class, method.name).map(Way::Plain))
            .unwrap_or(Way::Unknown);
        Handler { class, method, way }
    }

    /// Whether it is done at all.
    pub(crate) fn known(self) -> bool {
        !matches!(self.way, Way::Unknown)
    }

    /// Runs it, if the session's role allows it.
    pub(crate) fn run(self, pool: &mut Pool, arguments: &Arguments) -> Result<Outcome, Failure> {
        pool.assert_spared(self.class.name, self.method.name, arguments)?;
        let full = || format!("{}.{}", self.class.name, self.method.name);
        if let Some(role) = pool.role(&arguments.session) {
            roles::permit(role, &full(), self.method)?;
        }
        match self.way {
            Way::Custom(custom) => custom(pool, arguments),
            Way::Generated(kind) => generated::run(pool, self.class, kind, arguments),
            Way::Plain(setter) => setter.run(pool, self.class, arguments),
            Way::Unknown => Err(failures::method_unknown(&full())),
        }
    }
}

impl Pool {
    /// Takes one call.
    pub(crate) fn call(&mut self, request: &Request) -> Answer {
        let call = &request.call;
        *self.calls.by_method.entry(call.method.clone()).or_default() += 1;
        if let Some(failure) = &self.trouble.emergency {
            return Answer::Early(failure.clone());
        }
        if let Some(answer) = self.answer_alone(call, &request.door) {
            return answer;
        }
        if let Door::Network(host) = &request.door {
            if let Some(failure) = self.trouble.stranded.get(host) {
                return Answer::Early(failure.clone());
            }
            if let Some(address) = &self.trouble.slave_of {
                return Answer::Reply(Err(Failure::new("HOST_IS_SLAVE", [address])));
            }
        }
        // What needs no session is answered anywhere.
        if !self.answers_at(&request.door) && call.method != "system.listMethods" {
            let address = self.coordinator_elsewhere().unwrap_or_else(|| self.coordinator_address());
            return Answer::Reply(Err(Failure::new("HOST_IS_SLAVE", [address])));
        }
        match self.dispatch(request) {
            Ok(answer) => answer,
            Err(failure) => Answer::Reply(Err(failure)),
        }
    }

    /// Whether the host behind a door is the coordinator, which alone takes calls. A host that the pool does not have
    /// was left behind by a state that was loaded since, and answers for it. Of a host that joined another pool no door
    /// does.
    pub(crate) fn answers_at(&self, door: &Door) -> bool {
        match door {
            _ if self.coordinator_elsewhere().is_some() => false,
            Door::Local => true,
            Door::Network(host) => self.database.row("host", host).is_none() || self.coordinator() == *host,
        }
    }

    /// The address of the host that leads the pool.
    pub(crate) fn coordinator_address(&self) -> SmolStr {
        self.database.text("host", &self.coordinator(), "address").into()
    }

    /// Whether the host behind a door has crashed.
    pub(crate) fn is_dark(&self, door: &Door) -> bool {
        matches!(door, Door::Network(host) if self.dark_hosts.contains(host))
    }

    fn dispatch(&mut self, request: &Request) -> Result<Answer, Failure> {
        let call = &request.call;
        if call.method == "system.listMethods" {
            return Ok(Answer::Bare(Value::Array(methods::names().map(Value::from).collect())));
        }
        let (asynchronous, name) = match call.method.strip_prefix("Async.") {
            Some(name) => (true, name),
            None => (false, call.method.as_str()),
        };
        let Some((class, method)) = find(name) else { return Err(self.unknown(name, call)) };
        let full = format!("{}.{}", class.name, method.name);
        let mut arguments = taken(&full, method.parameters, method.optional, &call.arguments)?;
        if method.removed.is_some() {
            return Err(Failure::new::<SmolStr>("MESSAGE_REMOVED", []));
        }
        if asynchronous && !method.asynchronous {
            return Err(failures::no_async(&full));
        }
        if is_built_in(class.name, method.name) {
            self.assert_spared(class.name, method.name, &arguments)?;
        }
        if method.name == "login_with_password" {
            return Ok(self.log_in(&arguments, &request.door));
        }
        if has_session(method.parameters) {
            let session = arguments.session.clone();
            self.admit(&session)?;
        }
        let handler = Handler::of(class, method);
        match (class.name, method.name) {
            ("event", "from") => return Ok(Answer::Events(Subscription::new(&arguments)?)),
            ("event", "next") => return Ok(Answer::NextEvents(arguments.session)),
            ("task" | "event", _) if !asynchronous => {}
            _ if asynchronous => {
                let label = format!("Async.{full}");
                let task = self.start_later(&label, handler, arguments, &request.origin);
                return Ok(Answer::Reply(Ok(Value::String(task))));
            }
            _ if method.asynchronous => {
                return Ok(Answer::Task(self.start_now(&full, handler, arguments, &request.origin)));
            }
            _ => {}
        }
        arguments.task = None;
        match handler.run(self, &arguments)? {
            Outcome::Done(value) => Ok(Answer::Reply(Ok(value))),
            // Only methods with an asynchronous form take their time.
            Outcome::Lasting(_) | Outcome::Elsewhere => {
                Err(failures::internal("Failure(\"a lasting operation without a task\")"))
            }
        }
    }

    /// Refuses a call that was ordered to fail.
    fn assert_spared(&mut self, class: &str, method: &str, arguments: &Arguments) -> Result<(), Failure> {
        if !self.trouble.fails_calls() {
            return Ok(());
        }
        self.trouble.failure(&format!("{class}.{method}"), &arguments.values).map_or(Ok(()), Err)
    }

    /// A method that nobody knows is taken for an extension: its session is checked, and whether it may call one.
    fn unknown(&mut self, name: &str, call: &Call) -> Failure {
        let Some(session) = call.arguments.first().map(|session| session.as_str().unwrap_or_default()) else {
            return failures::method_unknown(name);
        };
        let permitted =
            self.admit(session).and_then(|()| match (self.role(session), schema::method(EXTENSION)) {
                (Some(role), Some((_, method))) => roles::permit(role, EXTENSION, method),
                _ => Ok(()),
            });
        permitted.err().unwrap_or_else(|| failures::method_unknown(name))
    }

    fn log_in(&mut self, arguments: &Arguments, door: &Door) -> Answer {
        self.calls.logins.push(self.clock.now());
        let (user, password) = (arguments.text(0), arguments.text(1));
        let right = user == self.options.user && password == self.options.password;
        let refused = self.trouble.refused_logins > 0;
        self.trouble.refused_logins = self.trouble.refused_logins.saturating_sub(1);
        let other = self.users.iter().find(|other| other.name == user && other.password == password);
        let session = match other.cloned() {
            _ if refused => None,
            _ if right || *door == Door::Local => Some(self.open_session(arguments.text(3), None)),
            other => other.map(|other| self.open_session(arguments.text(3), Some(&other))),
        };
        session.map_or_else(|| self.refuse_login(user), |session| Answer::Reply(Ok(Value::String(session))))
    }

    /// The answer to a wrong password, which comes late.
    pub(crate) fn refuse_login(&self, user: &str) -> Answer {
        let failure = Failure::new("SESSION_AUTHENTICATION_FAILED", [user, "Authentication failure"]);
        Answer::Later(self.clock.lasting(REFUSAL_DELAY), Err(failure))
    }
}

/// Methods that are answered by dispatching itself, for they concern sessions or wait.
pub(crate) fn is_built_in(class: &str, method: &str) -> bool {
    matches!((class, method), ("session", "login_with_password") | ("event", "from" | "next"))
        || emergency::is_emergency_call(class, method)
}

/// How a method is done, by its wire name.
pub(crate) fn handler(name: &str) -> Option<Handler> {
    exact(name).map(|(class, method)| Handler::of(class, method))
}

/// A method by its wire name, `VM.start`, or by the other one that xapi takes, `VM_start`.
fn find(name: &str) -> Option<(&'static Class, &'static Method)> {
    if name.contains('.') {
        return exact(name);
    }
    let underscores = name.char_indices().filter(|(_, character)| *character == '_');
    underscores
        .filter_map(|(index, _)| Some((name.get(..index)?, name.get(index + 1..)?)))
        .find_map(|(class, method)| exact(&format!("{class}.{method}")))
}

fn exact(name: &str) -> Option<(&'static Class, &'static Method)> {
    schema::method(name).or_else(|| methods::hidden(name))
}

/// Takes the arguments apart: the session, and the others typed.
pub(crate) fn taken(
    name: &str,
    parameters: &'static [Parameter],
    optional: usize,
    given: &[Value],
) -> Result<Arguments, Failure> {
    let (own, session) = match (has_session(parameters), given.split_first()) {
        (false, _) => (given, SmolStr::default()),
        (true, Some((session, own))) => {
            let session = arguments::typed(&Type::Ref("session"), session, "session_id")?;
            (own, session.as_str().unwrap_or_default().into())
        }
        // Without even a session, one less than none came.
        (true, None) => return Err(failures::parameter_count(name, parameters.len().saturating_sub(1), -1)),
    };
    let wanted = parameters.get(usize::from(has_session(parameters))..).unwrap_or_default();
    let too_many = own.len() > wanted.len() && optional == 0;
    if own.len() + optional < wanted.len() || too_many {
        let received = i64::try_from(own.len()).unwrap_or(i64::MAX);
        return Err(failures::parameter_count(name, wanted.len(), received));
    }
    let values = wanted
        .iter()
        .zip(own)
        .map(|(parameter, value)| arguments::typed(&parameter.kind, value, parameter.name));
    Ok(Arguments { session, task: None, values: values.collect::<Result<_, _>>()? })
}

fn has_session(parameters: &[Parameter]) -> bool {
    parameters.first().is_some_and(|first| first.name == "session_id")
}

impl Pool {
    /// A row that must be there.
    pub(crate) fn known(&self, class: &str, reference: &str) -> Result<(), Failure> {
        match self.database.row(class, reference) {
            Some(_) => Ok(()),
            None => Err(failures::handle_invalid(class, reference)),
        }
    }

    /// A record that must be there.
    pub(crate) fn record_of(&self, class: &str, reference: &str) -> Result<Struct, Failure> {
        self.database.record(class, reference).ok_or_else(|| failures::handle_invalid(class, reference))
    }
}
