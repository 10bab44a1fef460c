//! A simulated pool as a program's part: made from a state, opened at doors, told what to do wrong through a handle.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smol_str::SmolStr;
use tokio::task::JoinHandle;

use crate::builtin::{self, Size};
use crate::doors::{self, DoorError, Identity, MemberDoor};
use crate::handle::PoolHandle;
use crate::options::Options;
use crate::peer::{self, OwnDoors};
use crate::pool::Pool;
use crate::random::Random;
use crate::shell::Shared;
use crate::state_db::{self, LoadNotes, StateError};

/// A pool made of memory. It can be opened, closed and opened again; its state stays.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    identity: Identity,
    notes: LoadNotes,
}

/// Where a pool can be called; all that are named are opened at once.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// Plain HTTP; port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// HTTPS with a self-made certificate; port 0 takes a free one.
    pub https: Option<SocketAddr>,
    /// A Unix socket, made at this path; whoever can open it is root. A socket that lies there is replaced.
    pub unix: Option<PathBuf>,
}

/// A pool whose doors are open. They close when it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    handle: PoolHandle,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    unix: Option<PathBuf>,
    members: Vec<MemberDoor>,
    spare_hosts: Vec<Running>,
    fingerprint: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Simulator {
    /// The pool that we made up: two hosts, about forty VMs with disks, networks and storage.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn builtin(options: Options) -> Result<Self, DoorError> {
        let epoch = jiff::Timestamp::now();
        let pool = builtin::pool(options, epoch);
        Simulator::with_pool(pool, LoadNotes::default())
    }

    /// A pool that we made up, of a size: hosts with processors, cards and storage, VMs with disks, cards, guests and
    /// snapshots, about twenty objects for each VM.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn sized(size: Size, options: Options) -> Result<Self, DoorError> {
        let pool = builtin::pool_of(size, options, jiff::Timestamp::now());
        Simulator::with_pool(pool, LoadNotes::default())
    }

    /// The pool of a saved `state.db`.
    ///
    /// # Errors
    /// When the bytes are no state database, with the place where that shows.
    pub fn from_state_db(bytes: &[u8], options: Options) -> Result<Self, LoadError> {
        let (database, notes) = state_db::load(bytes)?;
        let random = Random::new(options.seed);
        let pool = Pool::new(database, random, options, jiff::Timestamp::now());
        Ok(Simulator::with_pool(pool, notes)?)
    }

    /// A host that belongs to no pool yet, the n-th beside this one: freshly installed with the release of the pool's
    /// coordinator, a pool of one, with the users of this pool. `pool.join` at its door lets it join any simulated pool of
    /// that release, this one for example.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn spare_host(beside: &PoolHandle, number: usize) -> Result<Self, DoorError> {
        let pool = beside.shared().read(|pool| builtin::spare(number, pool, jiff::Timestamp::now()));
        Simulator::with_pool(pool, LoadNotes::default())
    }

    /// What the state database held that was not taken; empty for the built-in pool.
    #[must_use]
    pub fn notes(&self) -> &LoadNotes {
        &self.notes
    }

    /// A handle on the pool, whether or not its doors are open.
    #[must_use]
    pub fn pool(&self) -> PoolHandle {
        PoolHandle::new(self.shared.clone())
    }

    /// The SHA-256 fingerprint of the HTTPS certificate that the pool was made with, 64 lower-case hexadecimal digits.
    /// [`PoolHandle::fingerprint`] tells the one that is served now.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.identity.fingerprint
    }

    /// The HTTPS certificate that the pool was made with in PEM, for clients that want a file of authorities.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.identity.pem
    }

    /// Opens the doors and lets time pass. Must be called within a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When an address or path cannot be taken.
    pub async fn open(&self, doors: Doors) -> Result<Running, DoorError> {
        let coordinator = self.shared.read(Pool::coordinator);
        let mut running = Running {
            handle: self.pool(),
            http: None,
            https: None,
            unix: None,
            members: Vec::new(),
            spare_hosts: Vec::new(),
            fingerprint: self.identity.fingerprint.clone(),
            tasks: Vec::new(),
        };
        // Should one door fail, dropping `running` closes the others.
        if let Some(address) = doors.http {
            let (address, task) = doors::open_http(self.shared.clone(), address, coordinator.clone())?;
            running.http = Some(address);
            running.tasks.push(task);
        }
        if let Some(address) = doors.https {
            let (address, task) = doors::open_https(self.shared.clone(), address, coordinator)?;
            running.https = Some(address);
            running.tasks.push(task);
        }
        if let Some(path) = doors.unix {
            running.tasks.push(doors::open_unix(self.shared.clone(), &path)?);
            running.unix = Some(path);
        }
        running.tasks.push(tokio::spawn(self.shared.clone().drive()));
        let own = OwnDoors { http: running.http, https: running.https };
        running.tasks.push(tokio::spawn(peer::attend(self.shared.clone(), own)));
        Ok(running)
    }

    fn with_pool(mut pool: Pool, notes: LoadNotes) -> Result<Self, DoorError> {
        let coordinator = pool.coordinator();
        let address = pool.database.text("host", &coordinator, "address").to_owned();
        let identity = Identity::new(&address)?;
        identity.publish(&mut pool, &coordinator);
        pool.identities.insert(coordinator, identity.clone());
        Ok(Simulator { shared: Arc::new(Shared::new(pool)), identity, notes })
    }
}

/// Why a saved state makes no pool.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no state database.
    #[error(transparent)]
    State(#[from] StateError),
    /// The pool's certificate could not be made.
    #[error(transparent)]
    Door(#[from] DoorError),
}

impl Running {
    /// Lets no record lead to a host that is none of ours: the coordinator's address is that of its network door, that of
    /// every host without a door is empty. Those of a made-up pool and of a copy may belong to real hosts, which whoever
    /// follows the pool would try, password and all, once this one is gone.
    pub fn lead_nowhere_else(&self) {
        let pool = self.pool();
        let coordinator = pool.records("pool").first().map(|pool| SmolStr::new(pool.text("master")));
        for host in pool.records("host") {
            let door =
                if coordinator.as_ref() == Some(&host.reference) { self.https.or(self.http) } else { None };
            let member = self.members.iter().any(|member| member.host == host.reference);
            if !member {
                let address = door.map(|door| door.ip().to_string()).unwrap_or_default();
                // The host is there, and hosts have addresses.
                _ = pool.set("host", &host.reference, "address", address.as_str());
            }
        }
    }

    /// Where plain HTTP listens.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where HTTPS listens.
    #[must_use]
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Where the Unix socket lies.
    #[must_use]
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix.as_deref()
    }

    /// Opens doors for every other host of the pool, of the kinds that are open already (the Unix socket aside): on
    /// the loopback addresses after the coordinator's, with the same ports. `host.address` and the hosts' `Certificate`
    /// records are written to match. A member answers logins and all calls with `HOST_IS_SLAVE`.
    ///
    /// # Errors
    /// When the coordinator is not at an IPv4 loopback address, or an address cannot be taken.
    pub async fn open_members(&mut self) -> Result<&[MemberDoor], DoorError> {
        if self.members.is_empty() {
            let shared = self.handle.shared();
            self.members = doors::open_members(shared, self.http, self.https, &mut self.tasks)?;
        }
        Ok(&self.members)
    }

    /// The doors of the members; none until they are opened.
    #[must_use]
    pub fn members(&self) -> &[MemberDoor] {
        &self.members
    }

    /// Opens doors for so many spare hosts ([`Simulator::spare_host`]), of the kinds that are open already (the Unix socket
    /// aside): on the loopback addresses after those that are there for the pool's own hosts, with the same ports. They
    /// close with this pool.
    ///
    /// # Errors
    /// When the coordinator is not at an IPv4 loopback address, or an address cannot be taken.
    pub async fn open_spare_hosts(&mut self, count: usize) -> Result<&[Running], DoorError> {
        let hosts = self.pool().records("host").len();
        for number in self.spare_hosts.len() + 1..=count {
            let spare = Simulator::spare_host(&self.handle, number)?;
            let place =
                |own: Option<SocketAddr>| own.map(|own| doors::beside(own, hosts + number - 1)).transpose();
            let doors = Doors { http: place(self.http)?, https: place(self.https)?, unix: None };
            // A pool of one opens none of its own.
            let running = Box::pin(spare.open(doors)).await?;
            running.lead_nowhere_else();
            self.spare_hosts.push(running);
        }
        Ok(&self.spare_hosts)
    }

    /// The spare hosts; none until they are opened.
    #[must_use]
    pub fn spare_hosts(&self) -> &[Running] {
        &self.spare_hosts
    }

    /// The SHA-256 fingerprint of the HTTPS certificate that the pool was made with, 64 lower-case hexadecimal digits.
    /// [`PoolHandle::fingerprint`] tells the one that is served now.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A handle on the pool.
    #[must_use]
    pub fn pool(&self) -> PoolHandle {
        self.handle.clone()
    }

    /// Closes all doors and every connection, and stops time.
    pub async fn stop(mut self) {
        for spare in std::mem::take(&mut self.spare_hosts) {
            Box::pin(spare.stop()).await;
        }
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks.drain(..) {
            // Aborting is what ends it; anything else was reported when it happened.
            _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(path) = &self.unix
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove the socket");
        }
    }
}
