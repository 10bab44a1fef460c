//! The few calls that a host answers by itself: without the coordinator, without the database, in emergency mode too.
//!
//! They need a session of that host alone, or none.

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;
use xapi::codec::{Call, Failure};
use xapi::model::schema;

use crate::arguments::Arguments;
use crate::dispatch::{Answer, Door, taken};
use crate::pool::Pool;
use crate::{failures, membership};

/// Their names.
const CALLS: &[&str] = &[
    "host.is_in_emergency_mode",
    "pool.emergency_transition_to_master",
    "session.local_logout",
    "session.slave_local_login_with_password",
];

/// Whether a method is one of them.
pub(crate) fn is_emergency_call(class: &str, method: &str) -> bool {
    CALLS.iter().any(|call| call.split_once('.') == Some((class, method)))
}

impl Pool {
    /// The answer of a host to a call that it answers by itself; none if the call is another.
    pub(crate) fn answer_alone(&mut self, call: &Call, door: &Door) -> Option<Answer> {
        let name = CALLS.iter().find(|name| **name == call.method)?;
        Some(self.alone(name, call, door).unwrap_or_else(|failure| Answer::Reply(Err(failure))))
    }

    fn alone(&mut self, name: &str, call: &Call, door: &Door) -> Result<Answer, Failure> {
        let host = match door {
            Door::Network(host) => host.clone(),
            Door::Local => self.coordinator(),
        };
        // A method that the published datamodel leaves out takes whatever comes.
        let arguments = match schema::method(name) {
            Some((_, method)) => taken(name, method.parameters, method.optional, &call.arguments)?,
            None => Arguments { session: SmolStr::default(), task: None, values: Vec::new() },
        };
        let done = |value: Value| Ok(Answer::Reply(Ok(value)));
        match name {
            "session.slave_local_login_with_password" => Ok(self.log_in_alone(&arguments, door, host)),
            "session.local_logout" => {
                self.local_sessions.remove(&arguments.session);
                done(Value::VOID)
            }
            "pool.emergency_transition_to_master" => {
                let session = &arguments.session;
                let local = self.local_sessions.get(session) == Some(&host);
                let pool_wide = self.answers_at(door) && self.sessions.contains_key(session);
                if !local && !pool_wide {
                    return Err(failures::session_invalid(&arguments.session));
                }
                membership::take_over(self, &host)?;
                done(Value::VOID)
            }
            _ => done(self.trouble.stranded.contains_key(&host).into()),
        }
    }

    fn log_in_alone(&mut self, arguments: &Arguments, door: &Door, host: SmolStr) -> Answer {
        let (user, password) = (arguments.text(0), arguments.text(1));
        if *door != Door::Local && !(user == self.options.user && password == self.options.password) {
            return self.refuse_login(user);
        }
        let session = format_smolstr!("OpaqueRef:{}", uuid::Uuid::new_v4());
        self.local_sessions.insert(session.clone(), host);
        Answer::Reply(Ok(Value::String(session)))
    }
}
