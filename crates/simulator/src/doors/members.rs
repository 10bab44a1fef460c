//! Doors of the members: every host answers at its own address, and the pool's records say which.
//!
//! Members listen on the loopback addresses after the coordinator's, at its ports, so that a client that learns an
//! address from `host.address` or `HOST_IS_SLAVE` reaches the host behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use smol_str::SmolStr;
use tokio::task::JoinHandle;

use super::{DoorError, Identity, open_http, open_https};
use crate::shell::Shared;

/// Where one member of a pool can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDoor {
    /// The host's reference.
    pub host: SmolStr,
    /// Where its plain HTTP listens, if the pool's does.
    pub http: Option<SocketAddr>,
    /// Where its HTTPS listens, if the pool's does.
    pub https: Option<SocketAddr>,
    /// The SHA-256 fingerprint of its HTTPS certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
}

/// Opens the doors of every host but the coordinator, which has its own at these addresses, and writes all addresses
/// and certificates into the pool.
pub(crate) fn open_members(
    shared: &Arc<Shared>,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<Vec<MemberDoor>, DoorError> {
    let (coordinator, hosts) = shared.read(|pool| {
        let hosts = pool.database.table("host").into_iter().flat_map(|table| table.rows.keys().cloned());
        (pool.coordinator(), hosts.collect::<Vec<_>>())
    });
    let mut opened = Vec::new();
    for host in hosts.into_iter().filter(|host| *host != coordinator) {
        let step = u32::try_from(opened.len() + 1).unwrap_or(u32::MAX);
        let mut door = MemberDoor { host, http: None, https: None, fingerprint: String::new() };
        let mut place = None;
        if let Some(address) = http {
            let address = beside(address, step)?;
            let (address, task) = open_http(shared.clone(), address, door.host.clone())?;
            door.http = Some(address);
            place = Some(address);
            tasks.push(task);
        }
        if let Some(address) = https {
            let address = beside(address, step)?;
            let identity = Identity::new(&address.ip().to_string())?;
            door.fingerprint.clone_from(&identity.fingerprint);
            shared.with(|pool| {
                identity.publish(pool, &door.host);
                pool.identities.insert(door.host.clone(), identity);
            });
            let (address, task) = open_https(shared.clone(), address, door.host.clone())?;
            door.https = Some(address);
            place = Some(address);
            tasks.push(task);
        }
        if let Some(place) = place {
            announce(shared, &door.host, place, https.is_some());
        }
        opened.push(door);
    }
    if let Some(place) = https.or(http) {
        announce(shared, &coordinator, place, https.is_some());
    }
    Ok(opened)
}

/// The address of a member: so many steps after the coordinator's.
fn beside(address: SocketAddr, step: u32) -> Result<SocketAddr, DoorError> {
    let refused = || DoorError::Members { place: address.to_string() };
    let IpAddr::V4(ip) = address.ip() else { return Err(refused()) };
    let next = u32::from(ip).checked_add(step).map(Ipv4Addr::from).filter(Ipv4Addr::is_loopback);
    match next {
        Some(next) if ip.is_loopback() => Ok(SocketAddr::new(next.into(), address.port())),
        _ => Err(refused()),
    }
}

/// Writes a host's address. Where only plain HTTP is open the port is in it, for clients that take port 80 otherwise.
fn announce(shared: &Shared, host: &SmolStr, place: SocketAddr, secure: bool) {
    let address = if secure { place.ip().to_string() } else { place.to_string() };
    shared.with(|pool| pool.database.write("host", host, "address", address));
}
