//! Sessions: who may call, for how long, and what becomes of too many of them.

use std::collections::HashMap;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;
use xapi::codec::Failure;
use xapi::model::schema::Role;

use crate::clock::Moment;
use crate::failures;
use crate::pool::Pool;

/// `last_active` in the record lags by up to this, as in xapi.
const ACTIVE_LAG: Duration = Duration::from_secs(600);
/// A session that nobody used for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Sessions that one originator may have.
const NAMED_MAX: usize = 500;
/// Sessions that all clients without originator may have together.
const ANONYMOUS_MAX: usize = 400;

/// What the pool knows of one session beside its record.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    originator: SmolStr,
    /// None for root, whom no role binds.
    role: Option<Role>,
    last_active: Moment,
    written: Moment,
}

/// All sessions by reference.
pub(crate) type Sessions = HashMap<SmolStr, Session>;

impl Pool {
    /// Opens a session. Its reference is the secret, so it comes from the system's own randomness.
    pub(crate) fn open_session(&mut self, originator: &str, user: Option<(SmolStr, Role)>) -> SmolStr {
        let reference = format_smolstr!("OpaqueRef:{}", uuid::Uuid::new_v4());
        let now = self.clock.now();
        let name = user.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("this_host", Value::String(self.coordinator())),
            ("last_active", self.clock.date()),
            ("validation_time", self.clock.date()),
            ("is_local_superuser", Value::Bool(user.is_none())),
            ("auth_user_name", Value::String(name)),
            ("originator", originator.into()),
        ];
        self.database.create("session", &reference, fields);
        let session = Session {
            originator: originator.into(),
            role: user.map(|(_, role)| role),
            last_active: now,
            written: now,
        };
        self.sessions.insert(reference.clone(), session);
        reference
    }

    /// Ends a session; whoever waits on it is woken.
    pub(crate) fn close_session(&mut self, reference: &str) {
        self.sessions.remove(reference);
        self.database.delete("session", reference);
    }

    /// Ends all sessions.
    pub(crate) fn end_sessions(&mut self) {
        let sessions: Vec<SmolStr> = self.sessions.keys().cloned().collect();
        for session in sessions {
            self.close_session(&session);
        }
    }

    /// Lets a call of this session pass, or says why not.
    pub(crate) fn admit(&mut self, reference: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        let session = self.sessions.get_mut(reference).ok_or_else(|| failures::session_invalid(reference))?;
        session.last_active = now;
        if now.saturating_sub(session.written) > ACTIVE_LAG {
            session.written = now;
            let date = self.clock.date();
            self.database.write("session", reference, "last_active", date);
        }
        Ok(())
    }

    /// What role binds a session that is there; none for root.
    pub(crate) fn role(&self, reference: &str) -> Option<Role> {
        self.sessions.get(reference).and_then(|session| session.role)
    }

    /// Ends sessions that are idle too long or too many of their kind, those first that were active longest ago.
    pub(crate) fn reap_sessions(&mut self) {
        let now = self.clock.now();
        let busy: Vec<SmolStr> = self.jobs.values().map(|job| job.session.clone()).collect();
        let mut groups: HashMap<SmolStr, Vec<(Moment, SmolStr)>> = HashMap::new();
        for (reference, session) in &self.sessions {
            groups
                .entry(session.originator.clone())
                .or_default()
                .push((session.last_active, reference.clone()));
        }
        for (originator, mut members) in groups {
            members.sort();
            let limit = if originator.is_empty() { ANONYMOUS_MAX } else { NAMED_MAX };
            let surplus = members.len().saturating_sub(limit);
            let spare = members.into_iter().filter(|(_, reference)| !busy.contains(reference));
            for (index, (active, reference)) in spare.enumerate() {
                if index < surplus || now.saturating_sub(active) > IDLE_MAX {
                    self.close_session(&reference);
                }
            }
        }
    }
}
