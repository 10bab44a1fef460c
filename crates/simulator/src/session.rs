//! Sessions: who may call, for how long, and what becomes of too many of them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;
use xapi::codec::Failure;
use xapi::model::schema::Role;

use crate::arguments::Arguments;
use crate::clock::Moment;
use crate::pool::Pool;
use crate::roles::{self, User};
use crate::tasks::Outcome;
use crate::{failures, methods};

/// `last_active` lags by up to this, as in xapi, and it is what a session's end is reckoned from.
const ACTIVE_LAG: Duration = Duration::from_secs(600);
/// A session that nobody used for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Sessions that one user who is not root, or one originator, may have.
const NAMED_MAX: usize = 500;
/// Sessions that all clients of root without originator may have together.
const ANONYMOUS_MAX: usize = 400;

/// What the pool knows of one session beside its record.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    originator: SmolStr,
    /// None for root, whom no role binds.
    user: Option<Bound>,
    /// As its record says.
    last_active: Moment,
}

/// Who a session belongs to, and the role that he had when it was opened.
#[derive(Debug, Clone)]
struct Bound {
    sid: SmolStr,
    role: Role,
}

/// All sessions by reference.
pub(crate) type Sessions = HashMap<SmolStr, Session>;

/// Sessions that one host opened by itself, with that host.
pub(crate) type LocalSessions = HashMap<SmolStr, SmolStr>;

/// Methods of sessions.
pub(crate) const METHODS: &[methods::Entry] = &[
    ("session", "logout", log_out),
    ("session", "get_all_subject_identifiers", subjects),
    ("session", "logout_subject_identifier", log_subject_out),
];

impl Pool {
    /// Opens a session. Its reference is the secret, so it comes from the system's own randomness.
    pub(crate) fn open_session(&mut self, originator: &str, user: Option<&User>) -> SmolStr {
        let reference = format_smolstr!("OpaqueRef:{}", uuid::Uuid::new_v4());
        let mut fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("this_host", Value::String(self.coordinator())),
            ("last_active", self.clock.date()),
            ("validation_time", self.clock.date()),
            ("is_local_superuser", Value::Bool(user.is_none())),
            ("originator", originator.into()),
        ];
        if let Some(user) = user {
            fields.push(("auth_user_name", Value::String(user.name.clone())));
            fields.push(("auth_user_sid", Value::String(user.sid())));
            fields.push(("rbac_permissions", roles::permissions(user.role)));
        }
        self.database.create("session", &reference, fields);
        let session = Session {
            originator: originator.into(),
            user: user.map(|user| Bound { sid: user.sid(), role: user.role }),
            last_active: self.clock.now(),
        };
        self.sessions.insert(reference.clone(), session);
        reference
    }

    /// Ends a session; whoever waits on it is woken.
    pub(crate) fn close_session(&mut self, reference: &str) {
        self.sessions.remove(reference);
        self.legacy.leave(reference);
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
        if now.saturating_sub(session.last_active) > ACTIVE_LAG {
            session.last_active = now;
            let date = self.clock.date();
            self.database.write("session", reference, "last_active", date);
        }
        Ok(())
    }

    /// What role binds a session that is there; none for root.
    pub(crate) fn role(&self, reference: &str) -> Option<Role> {
        self.sessions.get(reference)?.user.as_ref().map(|user| user.role)
    }

    /// Who a session that is there belongs to; empty for root.
    pub(crate) fn subject(&self, reference: &str) -> Option<SmolStr> {
        let session = self.sessions.get(reference)?;
        Some(session.user.as_ref().map(|user| user.sid.clone()).unwrap_or_default())
    }

    /// Ends sessions that are idle too long or too many of their kind, those first that were active longest ago. One
    /// whose task is pending is left alone and not counted; one that sits in `event.from` has no task.
    pub(crate) fn reap_sessions(&mut self) {
        let now = self.clock.now();
        let busy: BTreeSet<&SmolStr> = self
            .owners
            .iter()
            .filter(|(task, _)| self.database.text("task", task, "status") == "pending")
            .map(|(_, session)| session)
            .collect();
        let mut groups: HashMap<(SmolStr, SmolStr), Vec<(Moment, SmolStr)>> = HashMap::new();
        for (reference, session) in self.sessions.iter().filter(|(reference, _)| !busy.contains(reference)) {
            let group = match &session.user {
                Some(user) => (user.sid.clone(), SmolStr::default()),
                None => (SmolStr::default(), session.originator.clone()),
            };
            groups.entry(group).or_default().push((session.last_active, reference.clone()));
        }
        for (group, mut members) in groups {
            let limit = if group == Default::default() { ANONYMOUS_MAX } else { NAMED_MAX };
            members.sort();
            let (old, young): (Vec<_>, Vec<_>) =
                members.into_iter().partition(|(active, _)| now.saturating_sub(*active) > IDLE_MAX);
            let surplus = young.len().saturating_sub(limit);
            for (_, reference) in old.iter().chain(young.iter().take(surplus)) {
                self.close_session(reference);
            }
        }
    }
}

fn log_out(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    pool.close_session(&a.session);
    Ok(Value::VOID.into())
}

/// `session.get_all_subject_identifiers`: everybody who has a session and is not root.
fn subjects(pool: &mut Pool, _: &Arguments) -> Result<Outcome, Failure> {
    let sids = pool.sessions.values().filter_map(|session| session.user.as_ref().map(|user| &user.sid));
    let sids: BTreeSet<SmolStr> = sids.cloned().collect();
    Ok(Value::Array(sids.into_iter().map(Value::String).collect()).into())
}

/// `session.logout_subject_identifier`: ends all sessions of somebody, but not the one that asks.
fn log_subject_out(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    let sid = a.text(0);
    let of_theirs = |(reference, session): (&SmolStr, &Session)| {
        let theirs = session.user.as_ref().is_some_and(|user| user.sid == sid) && *reference != a.session;
        theirs.then(|| reference.clone())
    };
    let ended: Vec<SmolStr> = pool.sessions.iter().filter_map(of_theirs).collect();
    for session in ended {
        pool.close_session(&session);
    }
    Ok(Value::VOID.into())
}
