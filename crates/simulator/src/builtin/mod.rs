//! The pool that we made up: two hosts in a small company's cellar. The same for the same seed.

mod hosts;
mod machines;
mod storage;

use smol_str::SmolStr;
use xapi::{Struct, Value};

use crate::database::Database;
use crate::options::Options;
use crate::pool::Pool;
use crate::random::Random;

/// One gibibyte.
const GIB: i64 = 1 << 30;

/// Builds the pool at a moment in time.
pub(crate) fn pool(options: Options, epoch: jiff::Timestamp) -> Pool {
    let random = Random::new(options.seed);
    let mut builder = Builder { pool: Pool::new(Database::new(), random, options, epoch) };
    let site = builder.hosts();
    let storage = builder.storage(&site);
    builder.machines(&site, &storage);
    let mut pool = builder.pool;
    pool.judge_all();
    // As after a start of xapi: every row looks equally new, and nothing was told or is due yet.
    let generation = pool.database.generation();
    pool.database.restamp(generation);
    pool
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
