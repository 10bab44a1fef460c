//! A check of pure code that is run with thousands of seeds: each seed gives chances of its own, and the same ones each time. The
//! first one that fails is named, with the line that runs it alone.

#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub use rand::RngExt;
use rand::SeedableRng as _;
pub use rand::rngs::StdRng;

/// The environment variable that holds a single seed, to be run alone.
pub const VARIABLE: &str = "XAPIARY_TEST_SEED";

/// Runs a check with the seeds from 1 to `count`, or with the one that [`VARIABLE`] holds. `test` is how this test is run alone,
/// behind `cargo nextest run`.
///
/// # Panics
/// When the check does, with the seed on standard error; when the variable holds no number.
pub fn run(count: u64, test: &str, check: impl Fn(&mut StdRng)) {
    let alone = std::env::var(VARIABLE).ok().map(|seed| match seed.parse() {
        Ok(seed) => seed,
        Err(error) => panic!("{VARIABLE} is {seed:?}, which is no seed: {error}"),
    });
    let seeds = alone.map_or(1..=count, |seed| seed..=seed);
    for seed in seeds {
        let checked = catch_unwind(AssertUnwindSafe(|| check(&mut StdRng::seed_from_u64(seed))));
        if let Err(panic) = checked {
            eprintln!("with seed {seed}; the same again: {VARIABLE}={seed} cargo nextest run {test}");
            resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn each_seed_has_its_own_chances_and_the_first_that_fails_ends_it() {
        let seen = RefCell::new(Vec::<u64>::new());
        run(20, "-p seeds", |random| seen.borrow_mut().push(random.random()));
        let first = seen.take();
        run(20, "-p seeds", |random| seen.borrow_mut().push(random.random()));
        assert_eq!(first, seen.take(), "the same each time");
        let different: std::collections::BTreeSet<u64> = first.into_iter().collect();
        assert_eq!(different.len(), 20);

        let runs = Cell::new(0);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            run(20, "-p seeds", |_| {
                runs.set(runs.get() + 1);
                assert!(runs.get() < 7, "at the seventh");
            });
        }));
        assert!(failed.is_err() && runs.get() == 7);
    }
}
