//! Doors of the members: every host answers at its own address, and the pool's records say which.
//!
//! Members listen on the loopback addresses after the coordinator's, at its ports, so that a client that learns an
//! address from `host.address` or `HOST_IS_SLAVE` reaches the host behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use smol_str::SmolStr;
use tokio::task::JoinHandle;

use super::{DoorError, Identity, open_http, open_https};
use crate::peer::OwnDoors;
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
        let step = opened.len() + 1;
        let mut door = MemberDoor { host, http: None, https: None, fingerprint: String::new() };
        if let Some(address) = http {
            let address = beside(address, step)?;
            let (address, task) = open_http(shared.clone(), address, door.host.clone())?;
            door.http = Some(address);
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
            tasks.push(task);
        }
        announce(shared, &door.host, OwnDoors { http: door.http, https: door.https });
        opened.push(door);
    }
    announce(shared, &coordinator, OwnDoors { http, https });
    Ok(opened)
}

/// The address of another host: so many steps after the coordinator's.
pub(crate) fn beside(address: SocketAddr, step: usize) -> Result<SocketAddr, DoorError> {
    let refused = || DoorError::Members { place: address.to_string() };
    let IpAddr::V4(ip) = address.ip() else { return Err(refused()) };
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    let next = u32::from(ip).checked_add(step).map(Ipv4Addr::from).filter(Ipv4Addr::is_loopback);
    match next {
        Some(next) if ip.is_loopback() => Ok(SocketAddr::new(next.into(), address.port())),
        _ => Err(refused()),
    }
}

/// Writes a host's address.
fn announce(shared: &Shared, host: &SmolStr, doors: OwnDoors) {
    if let Some(address) = doors.address() {
        shared.with(|pool| pool.database.write("host", host, "address", address));
    }
}
