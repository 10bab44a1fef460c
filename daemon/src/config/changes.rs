//! What differs between two configurations beside grants, key by key. Pure.

use super::{Config, Pool};

/// Keys whose values differ, as paths such as `control.socket`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those that a running daemon can take up.
    pub(crate) at_once: Vec<String>,
    /// Those that hold from the next start on.
    pub(crate) after_restart: Vec<String>,
}

/// What a configuration that was read anew changes.
pub(crate) fn changes(present: &Config, new: &Config) -> Changes {
    let named = |keys: &[(&str, bool)]| -> Vec<String> {
        keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| (*key).to_owned()).collect()
    };
    let (control, new_control) = (&present.control, &new.control);
    let at_once = named(&[
        ("journal.keep", present.retention.keep != new.retention.keep),
        ("journal.max_size", present.retention.max_size != new.retention.max_size),
        ("journal.max_events", present.retention.max_events != new.retention.max_events),
        ("stop.drain", present.drain != new.drain),
        ("control.observe", control.people.observe != new_control.people.observe),
        ("control.operate", control.people.operate != new_control.people.operate),
        ("control.administer", control.people.administer != new_control.people.administer),
    ]);
    let mut after_restart = named(&[
        ("state", present.state != new.state),
        ("log.format", present.log.format != new.log.format),
        ("log.level", present.log.level != new.log.level),
        ("control.socket", control.socket != new_control.socket),
        ("control.metrics", control.metrics != new_control.metrics),
    ]);
    for pool in &present.pools {
        match new.pools.iter().find(|new| new.name == pool.name) {
            Some(new) => after_restart.extend(of_pool(pool, new)),
            None => after_restart.push(format!("pool.{} (removed)", pool.name)),
        }
    }
    let added = new.pools.iter().filter(|new| present.pools.iter().all(|pool| pool.name != new.name));
    after_restart.extend(added.map(|pool| format!("pool.{} (added)", pool.name)));
    Changes { at_once, after_restart }
}

fn of_pool(present: &Pool, new: &Pool) -> Vec<String> {
    let Pool { name, endpoint, members, user, password, wire } = present;
    let keys = [
        // What an address and the trust in it are made of is judged as one.
        ("url", endpoint.address() != new.endpoint.address()),
        ("trust", endpoint.trust() != new.endpoint.trust()),
        ("client_certificate", endpoint.identity() != new.endpoint.identity()),
        ("members", *members != new.members),
        ("user", *user != new.user),
        ("password", *password != new.password),
        ("wire", *wire != new.wire),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| format!("pool.{name}.{key}")).collect()
}
