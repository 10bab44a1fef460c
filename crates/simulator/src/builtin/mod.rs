//! The pools that we made up: two hosts in a small company's cellar, or as many as are wanted. The same for the same
//! seed.

mod hosts;
mod large;
mod machines;
mod spare;
mod storage;

use smol_str::{SmolStr, format_smolstr};
use xapi::{Struct, Value};

use crate::database::Database;
use crate::options::Options;
use crate::pool::Pool;
use crate::random::Random;

pub use large::Size;
pub(crate) use spare::spare;

/// One gibibyte.
const GIB: i64 = 1 << 30;

/// Builds the small pool at a moment in time.
pub(crate) fn pool(options: Options, epoch: jiff::Timestamp) -> Pool {
    let hosts = [("xen-north".into(), "10.20.0.11".into()), ("xen-south".into(), "10.20.0.12".into())];
    let mut builder = Builder::new(options, epoch);
    let site = builder.hosts("cellar", &hosts, 256 * GIB);
    let storage = builder.storage(&site, 1);
    builder.machines(&site, &storage);
    builder.templates();
    builder.done()
}

/// Builds a pool of a size at a moment in time.
pub(crate) fn pool_of(size: Size, options: Options, epoch: jiff::Timestamp) -> Pool {
    let hosts: Vec<(SmolStr, SmolStr)> = (0..size.hosts())
        .map(|index| (format_smolstr!("xen-{:03}", index + 1), hosts::address("10.20.0", index).into()))
        .collect();
    let mut builder = Builder::new(options, epoch);
    let site = builder.hosts("hall", &hosts, size.memory());
    let storage = builder.storage(&site, size.shared_repositories());
    builder.many_machines(size.vms, &site, &storage);
    builder.templates();
    builder.done()
}

/// What the rest of the pool stands on.
struct Site {
    pool: SmolStr,
    hosts: Vec<SmolStr>,
    /// Management, tenants, storage.
    networks: Vec<SmolStr>,
}

struct Builder {
    pool: Pool,
}

impl Builder {
    fn new(options: Options, epoch: jiff::Timestamp) -> Self {
        let random = Random::new(options.seed);
        Builder::with(random, options, epoch)
    }

    fn with(random: Random, options: Options, epoch: jiff::Timestamp) -> Self {
        Builder { pool: Pool::new(Database::new(), random, options, epoch) }
    }

    /// The pool as after a start of xapi: every row looks equally new, and nothing was told or is due yet.
    fn done(self) -> Pool {
        let mut pool = self.pool;
        pool.judge_all();
        let generation = pool.database.generation();
        pool.database.restamp(generation);
        pool
    }

    /// Adds a row with a made-up uuid.
    fn row(&mut self, class: &'static str, mut fields: Vec<(&str, Value)>) -> SmolStr {
        let reference = self.pool.random.reference();
        fields.push(("uuid", Value::String(self.pool.random.uuid())));
        self.pool.database.create(class, &reference, fields);
        reference
    }

    fn write(&mut self, class: &'static str, reference: &str, field: &str, value: impl Into<Value>) {
        self.pool.database.write(class, reference, field, value);
    }
}

/// A map of texts.
fn map(members: &[(&'static str, &str)]) -> Value {
    Value::Struct(
        members
            .iter()
            .map(|(key, value)| (SmolStr::new_static(key), Value::from(*value)))
            .collect::<Struct>(),
    )
}

/// A set of texts.
fn set(elements: &[&str]) -> Value {
    Value::Array(elements.iter().map(|element| Value::from(*element)).collect())
}
