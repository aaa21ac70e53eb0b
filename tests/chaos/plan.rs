//! The number of rounds, and the random number generators.

use std::{
    collections::hash_map::RandomState,
    env,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher as _},
    sync::OnceLock,
};

use rand::{SeedableRng as _, rngs::StdRng};

/// The seed of sizes, operations and times: `CONFAB_TEST_SEED`, or a random one. It does not repeat what the scheduler
/// does.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match env::var("CONFAB_TEST_SEED") {
        Ok(seed) => seed.parse().expect("CONFAB_TEST_SEED is a number"),
        Err(_) => RandomState::new().hash_one(()) % 1_000_000_000,
    })
}

/// The random number generator of one part of the run.
pub fn rng(part: impl Hash) -> StdRng {
    let mut hasher = DefaultHasher::new();
    (seed(), part).hash(&mut hasher);
    StdRng::seed_from_u64(hasher.finish())
}

/// Tells whether this is the whole suite (`make chaos`), not the short form in `make test`.
pub fn is_full() -> bool {
    env::var("CONFAB_TEST_ROUNDS").is_ok_and(|rounds| rounds == "full")
}

/// The number of rounds of a fault.
pub fn rounds(short: usize, full: usize) -> usize {
    if is_full() { full } else { short }
}
