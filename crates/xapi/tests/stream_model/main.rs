//! The event stream against a small pool that forgets deletions, folds changes, restarts, goes back in time as a failover to an
//! old copy does, and answers while it goes on; the stream is killed and started again in between. After each step: what was
//! told adds up to the world, the world is the pool's, each object's events lead one from the other, none tells nothing, and
//! the mark of a gap is there exactly where something may have been missed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod server;

use client::Client;
use seeds::{RngExt as _, StdRng};
use server::Server;

const SEEDS: u64 = 6_000;

fn check(random: &mut StdRng) {
    let mut server = Server::new(random);
    let mut client = Client::new();
    for _ in 0..random.random_range(0..80) {
        match random.random_range(0..26) {
            0..=13 => server.happen(random),
            14 if random.random_ratio(1, 3) => server.restart(),
            15 => server.be_copied(),
            16 => {
                let keeps_session = random.random();
                if server.fail_over(keeps_session)
                    && keeps_session
                    && !client.send_canary(&mut server, random)
                {
                    // No session outlives a failover as far as we know; to one that did, a copy as new as what it was told
                    // would look like the pool that it knew.
                    server.restart();
                }
            }
            17 if random.random_ratio(1, 4) => client.wish(random),
            18 if random.random_ratio(1, 3) => client.start_again(random),
            _ => {
                let killed = random.random_ratio(1, 40);
                client.look(&mut server, random, killed);
            }
        }
    }
    // In the end a few looks bring everything.
    server.be_quiet();
    for _ in 0..8 {
        client.look(&mut server, random, false);
    }
    client.is_as(&server);
}

#[test]
fn whatever_happens_each_difference_is_told_once_and_all_of_them_add_up() {
    seeds::run(SEEDS, "-p xapi --test stream_model", check);
}
