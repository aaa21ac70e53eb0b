//! How much is done, and with which dice.

use std::{
    collections::hash_map::RandomState,
    env,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher as _},
    sync::OnceLock,
};

use rand::{SeedableRng as _, rngs::StdRng};

/// Decides sizes, mixes and moments: `CONFAB_TEST_SEED`, or a new one. What the scheduler does is not repeated by it.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match env::var("CONFAB_TEST_SEED") {
        Ok(seed) => seed.parse().expect("CONFAB_TEST_SEED is a number"),
        Err(_) => RandomState::new().hash_one(()) % 1_000_000_000,
    })
}

/// The dice of one part of the run.
pub fn dice(part: impl Hash) -> StdRng {
    let mut hasher = DefaultHasher::new();
    (seed(), part).hash(&mut hasher);
    StdRng::seed_from_u64(hasher.finish())
}

/// Whether this is the whole suite (`make chaos`) or the short form within `make test`.
pub fn is_full() -> bool {
    env::var("CONFAB_TEST_ROUNDS").is_ok_and(|rounds| rounds == "full")
}

/// How many rounds of a fault.
pub fn rounds(short: usize, full: usize) -> usize {
    if is_full() { full } else { short }
}
