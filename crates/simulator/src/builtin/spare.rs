//! A host that belongs to no other: freshly installed, with the release of some pool, and a pool of one by itself.

use smol_str::{SmolStr, format_smolstr};

use super::{Builder, GIB, hosts};
use crate::membership::ALIKE;
use crate::pool::Pool;
use crate::random::Random;

/// Its memory, in bytes.
const MEMORY: i64 = 128 * GIB;
/// Made-up addresses of such hosts come after those of the hosts of a pool.
const FIRST: usize = 200;

/// Fields of the row of class `pool` that both pools must have alike for a host to go from one to the other.
const ALIKE_POOLS: &[&str] = &["tls_verification_enabled", "cpu_info"];
/// The same of hosts, beside what any host of a pool has like the others.
const ALIKE_HOSTS: &[&str] =
    &["external_auth_type", "external_auth_service_name", "external_auth_configuration", "license_params"];

/// The n-th spare host of a pool, from 1 on.
pub(crate) fn spare(number: usize, like: &Pool, epoch: jiff::Timestamp) -> Pool {
    let mut options = like.options.clone();
    options.crash_every = None;
    let random = Random::branch(options.seed, "spare host", u64::try_from(number).unwrap_or_default());
    let mut builder = Builder::with(random, options, epoch);
    let address = hosts::address("10.20.0", FIRST + number);
    let named = [(format_smolstr!("xen-spare-{number}"), SmolStr::from(address))];
    let site = builder.hosts("", &named, MEMORY);
    let local = builder.local_storage(&site).into_iter().next().unwrap_or_default();
    for field in ["default_SR", "suspend_image_SR", "crash_dump_SR"] {
        builder.write("pool", &site.pool, field, local.clone());
    }
    builder.templates();
    let (coordinator, row) = (like.coordinator(), like.pool_row());
    builder.write("pool", &site.pool, "name_description", "");
    for host in &site.hosts {
        for field in ALIKE.iter().chain(ALIKE_HOSTS) {
            builder.copy(like, ("host", &coordinator), host, field);
        }
    }
    for field in ALIKE_POOLS {
        builder.copy(like, ("pool", &row), &site.pool, field);
    }
    let mut pool = builder.done();
    pool.users.clone_from(&like.users);
    pool
}

impl Builder {
    /// Copies a field from another pool.
    fn copy(&mut self, from: &Pool, (class, row): (&'static str, &str), to: &str, field: &str) {
        if let Some(value) = from.database.value(class, row, field).cloned() {
            self.write(class, to, field, value);
        }
    }
}
