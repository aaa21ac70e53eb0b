//! Tokens whose signature was verified, by the hash of their text.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use ring::digest::{SHA256, digest};

use super::token::Token;

/// SHA-256 of a token's text: a text that was not verified cannot have the hash of one that was.
pub type Hash = [u8; 32];

/// Cache with a bound in bytes. Entries move from the young to the old generation; a use brings them back, and the old
/// generation is dropped as a whole.
pub struct TokenCache {
    /// Bound of each generation.
    bytes: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Hash, Arc<Token>>,
    old: HashMap<Hash, Arc<Token>>,
    /// Size of the young generation.
    bytes: usize,
}

/// Returns the hash of a token's text.
pub fn hash(text: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

impl TokenCache {
    /// A cache of up to so many bytes.
    pub fn new(bytes: usize) -> Self {
        let generations = Mutex::default();
        Self {
            bytes: bytes / 2,
            generations,
        }
    }

    /// Returns a token that was verified.
    pub fn get(&self, hash: &Hash) -> Option<Arc<Token>> {
        let mut generations = self.generations();
        if let Some(token) = generations.young.get(hash) {
            return Some(token.clone());
        }
        let token = generations.old.remove(hash)?;
        self.add(&mut generations, *hash, token.clone());
        Some(token)
    }

    /// Adds a token that was verified.
    pub fn insert(&self, hash: Hash, token: Arc<Token>) {
        self.add(&mut self.generations(), hash, token);
    }

    fn add(&self, generations: &mut Generations, hash: Hash, token: Arc<Token>) {
        /// Of an entry besides the token.
        const ENTRY: usize = 64;
        let size = token.size() + ENTRY;
        if size > self.bytes {
            return;
        }
        if generations.bytes + size > self.bytes {
            generations.old = mem::take(&mut generations.young);
            generations.bytes = 0;
        }
        if generations.young.insert(hash, token).is_none() {
            generations.bytes += size;
        }
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        let generations = self.generations.lock();
        generations.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        auth::token::Chats,
        domain::{AppId, key::KeyId},
    };

    fn token(user: &str) -> Arc<Token> {
        let key = KeyId::parse("0123456789ab").unwrap();
        let grants = (Chats::All, BTreeSet::new());
        Arc::new(Token::new(key, AppId(1), user, grants, (1, 2)))
    }

    #[test]
    fn used_tokens_stay_and_the_size_is_bounded() {
        let cache = TokenCache::new(20_000);
        let used = hash("used");
        cache.insert(used, token("used"));
        for number in 0..10_000 {
            let text = format!("token {number}");
            cache.insert(hash(&text), token(&text));
            assert!(cache.get(&used).is_some(), "{number}");
            let generations = cache.generations();
            let tokens = generations.young.values().chain(generations.old.values());
            let bytes: usize = tokens.map(|token| token.size()).sum();
            assert!(bytes <= 20_000, "{bytes}");
        }
        assert!(cache.get(&hash("token 0")).is_none());
        assert!(cache.get(&hash("token 9999")).is_some());
    }

    #[test]
    fn token_larger_than_the_cache_is_not_kept() {
        let cache = TokenCache::new(100);
        cache.insert(hash("a"), token("a"));
        assert!(cache.get(&hash("a")).is_none());
    }
}
