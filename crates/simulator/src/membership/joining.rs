//! The host that joins: `pool.join` asked of it, what it waits for, and the member of another pool that it becomes.
//!
//! ```text
//!             pool.join            handed over             restarted
//! pool of one ---------> [asking] ------------> [entering] ---------> member
//!      ^                     | refused                                  | ejected
//!      +---------------------+----------- booted afresh <---------------+
//! ```
//!
//! What is asked of the other pool's door, [`peer`](crate::peer) asks; here is decided what is asked next, and what follows.

use std::fmt;

use smol_str::SmolStr;
use xapi::Value;
use xapi::codec::Failure;

use super::FUSE;
use super::handover::Standing;
use super::receiving::CANNOT_LEAD;
use crate::arguments::Arguments;
use crate::failures;
use crate::pool::{Pool, Step};
use crate::tasks::Outcome;
use crate::toolstack::Restart;

/// What `pool.join` was asked for.
#[derive(Clone)]
pub(crate) struct Wish {
    /// Where the other pool's coordinator is: a name or an address, perhaps with a port.
    pub(crate) address: SmolStr,
    pub(crate) user: String,
    pub(crate) password: String,
    /// `pool.join_force`.
    pub(crate) force: bool,
}

/// Shows no password.
impl fmt::Debug for Wish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Wish")
            .field("address", &self.address)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The pool that a host joined.
#[derive(Clone)]
pub(crate) struct Home {
    /// As `pool.join` named it.
    pub(crate) address: SmolStr,
    /// What the host is known by there.
    pub(crate) secret: SmolStr,
    /// The address of its coordinator when it was first told, and as it was told last.
    coordinators: Option<(SmolStr, SmolStr)>,
    /// What was told last.
    pub(crate) seen: Option<Standing>,
    /// Whether the host has restarted as a member.
    entered: bool,
    /// Whether the pool has seen it alive.
    came_up: bool,
}

impl Home {
    pub(crate) fn new(address: SmolStr, secret: SmolStr) -> Self {
        Home { address, secret, coordinators: None, seen: None, entered: false, came_up: false }
    }

    /// The address of the coordinator: the one that was joined, until there is another.
    fn coordinator(&self) -> &SmolStr {
        match &self.coordinators {
            Some((first, now)) if first != now => now,
            _ => &self.address,
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Home {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Home").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a host asks of another pool's door next.
#[derive(Debug, Clone)]
pub(crate) enum Errand {
    /// Nothing.
    None,
    /// To be taken in.
    Join(Wish),
    /// Whether it still belongs there.
    Follow(Home),
}

/// A host's way into another pool.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// What is asked for, with the task that waits for it.
    wish: Option<(SmolStr, Wish)>,
    home: Option<Home>,
}

pub(super) fn join(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    begin(pool, a, false)
}

pub(super) fn join_force(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    begin(pool, a, true)
}

fn begin(pool: &mut Pool, a: &Arguments, force: bool) -> Result<Outcome, Failure> {
    if pool.joining.wish.is_some() || pool.joining.home.is_some() {
        return Err(failures::not_allowed("this host is joining a pool already"));
    }
    // Only methods with an asynchronous form come without a task, and these have one.
    let task = a.task.clone().unwrap_or_default();
    let (address, user, password) = (a.text(0).into(), a.text(1).to_owned(), a.text(2).to_owned());
    pool.joining.wish = Some((task, Wish { address, user, password, force }));
    pool.stirs += 1;
    Ok(Outcome::Elsewhere)
}

impl Pool {
    /// What is to be asked of another pool's door.
    pub(crate) fn errand(&self) -> Errand {
        match (&self.joining.wish, &self.joining.home) {
            (Some((_, wish)), _) => Errand::Join(wish.clone()),
            (None, Some(home)) if matches!(home.seen, None | Some(Standing::Member { .. })) => {
                Errand::Follow(home.clone())
            }
            _ => Errand::None,
        }
    }

    /// The other pool has taken this host in, or somebody has refused. The call is answered, and a host that was taken
    /// restarts soon after.
    pub(crate) fn joined(&mut self, outcome: Result<Home, Failure>) {
        let Some((task, _)) = self.joining.wish.take() else { return };
        let reply = outcome.map(|home| {
            self.joining.home = Some(home);
            let at = self.clock.now() + self.clock.lasting(FUSE);
            self.schedule.add(at, Step::Enter);
            Value::VOID
        });
        self.come_back(&task, reply);
    }

    /// The host restarts as a member: its sessions end, and its doors point to the coordinator.
    pub(crate) fn enter(&mut self) {
        if let Some(home) = &mut self.joining.home {
            home.entered = true;
            self.restart(Restart::ByItself);
        }
    }

    /// The address that this host, as a member of another pool, points to.
    pub(crate) fn coordinator_elsewhere(&self) -> Option<SmolStr> {
        self.joining.home.as_ref().filter(|home| home.entered).map(|home| home.coordinator().clone())
    }

    /// Refuses to make a host the coordinator that belongs to another pool.
    pub(super) fn assert_on_its_own(&self) -> Result<(), Failure> {
        self.joining.home.as_ref().map_or(Ok(()), |_| Err(failures::not_allowed(CANNOT_LEAD)))
    }

    /// What this host is to its pool, as it was told.
    pub(crate) fn stand(&mut self, standing: Standing) {
        let host = self.coordinator();
        let Some(home) = &mut self.joining.home else { return };
        home.seen = Some(standing.clone());
        match standing {
            Standing::Member { coordinator, live } => {
                let first = home.coordinators.take().map_or_else(|| coordinator.clone(), |(first, _)| first);
                home.coordinators = Some((first, coordinator));
                home.came_up |= live;
                if home.came_up && !live {
                    self.dark_hosts.insert(host);
                } else {
                    self.dark_hosts.remove(&host);
                }
            }
            Standing::Ejected => self.go_independent(),
            Standing::Stranger => {
                let unknown = Failure::new("HOST_UNKNOWN_TO_MASTER", [host.as_str()]);
                self.trouble.stranded.insert(host, unknown);
            }
        }
        self.stirs += 1;
    }

    /// Whether the host belongs to no other pool any more.
    pub(super) fn leave_home(&mut self) {
        self.joining = Joining::default();
    }
}
