//! What a simulated host asks of another pool: to be taken in, and later whether it still belongs there.
//!
//! It goes by the other pool's own door, with a login like anybody's. One task does it for as long as this pool's doors
//! are open; what is to be asked, and what follows from the answer, is decided in [`membership`](crate::membership).

mod door;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use xapi::codec::Failure;

use crate::membership::{self, Errand, Home, Wish};
use crate::pool::Pool;
use crate::shell::Shared;
use crate::state_db;
use door::{PeerDoor, Unreachable};

/// After the other pool did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Where this pool's own host can be called, which is also how it calls others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnDoors {
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
}

impl OwnDoors {
    /// The address for this host's record. Where only plain HTTP is open the port is in it, for clients that take port 80
    /// otherwise.
    pub(crate) fn address(&self) -> Option<String> {
        let plain = self.http.map(|place| place.to_string());
        self.https.map(|place| place.ip().to_string()).or(plain)
    }
}

/// Runs this host's errands for ever.
pub(crate) async fn attend(shared: Arc<Shared>, doors: OwnDoors) {
    let mut stirred = shared.stirs();
    loop {
        stirred.mark_unchanged();
        match shared.read(Pool::errand) {
            Errand::Join(wish) => {
                let outcome = join(&shared, doors, &wish).await;
                shared.with(|pool| pool.joined(outcome));
            }
            Errand::Follow(home) => follow(&shared, doors, &home).await,
            // The sender lives as long as the pool.
            Errand::None => _ = stirred.changed().await,
        }
    }
}

/// `pool.join`: log in over there, look, be judged, hand over, log out.
async fn join(shared: &Shared, doors: OwnDoors, wish: &Wish) -> Result<Home, Failure> {
    let there = PeerDoor::new(doors, &wish.address).map_err(|why| told(&wish.address, &why))?;
    // No password goes to anybody who could not take a simulated host.
    there.greet().await.map_err(|why| told(&wish.address, &why))?;
    let session = there.log_in(&wish.user, &wish.password).await.map_err(|why| told(&wish.address, &why))?;
    let taken = async {
        let target = there.look(&session).await?;
        let state = shared.with(|pool| {
            membership::assert_may_join(pool, &target, wish.force)?;
            if let Some(address) = doors.address() {
                let host = pool.coordinator();
                pool.database.write("host", &host, "address", address);
            }
            Ok(state_db::dump(&pool.database))
        });
        there.hand_over(&session, state.map_err(Unreachable::Refused)?).await
    };
    let taken = taken.await;
    if let Err(why) = there.log_out(&session).await {
        tracing::debug!(address = %wish.address, %why, "the session at the other pool stays open");
    }
    let secret = taken.map_err(|why| told(&wish.address, &why))?;
    Ok(Home::new(wish.address.clone(), secret))
}

/// Asks what this host is to its pool, as soon as that is something else than it was.
async fn follow(shared: &Shared, doors: OwnDoors, home: &Home) {
    let standing =
        async { PeerDoor::new(doors, &home.address)?.standing(&home.secret, home.seen.as_ref()).await };
    match standing.await {
        Ok(standing) => shared.with(|pool| pool.stand(standing)),
        Err(why) => {
            tracing::debug!(address = %home.address, %why, "the pool that this host joined does not answer");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What the caller of `pool.join` is told; XAPI's own words for it say little, so the log says the rest.
fn told(address: &str, why: &Unreachable) -> Failure {
    if !matches!(why, Unreachable::Refused(_)) {
        tracing::warn!(%address, %why, "a join failed");
    }
    why.failure()
}
