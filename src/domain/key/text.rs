//! The text of a key: `cfb_`, its ID, `_`, 43 random characters, and a checksum.

use std::fmt;

use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use super::KeyId;

/// Beginning of every key, by which secret scanners find it.
const PREFIX: &str = "cfb_";

/// Number of random characters: 62 to the power of 43 is above 2 to the power of 256.
const RANDOM_CHARS: usize = 43;

/// Number of characters of the checksum.
const CHECKSUM_CHARS: usize = 6;

/// Length of the part that the checksum covers.
const CHECKED_CHARS: usize = PREFIX.len() + KeyId::CHARS + 1 + RANDOM_CHARS;

/// Length of a key.
const CHARS: usize = CHECKED_CHARS + CHECKSUM_CHARS;

const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Prefix of what is hashed, so that the stored hash differs from the signing secret.
const HASH_PREFIX: &str = "confab-key:";

/// The whole text of a key, which is a secret. It is shown once and never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// Makes a new key from the cryptographic random generator.
    pub fn generate() -> Self {
        let mut rng = rand::rng();
        let mut text = format!("{PREFIX}{}_", KeyId::generate());
        text.extend((0..RANDOM_CHARS).map(|_| char::from(BASE_62[rng.random_range(0..62)])));
        text.extend(checksum(&text));
        Self(text)
    }

    /// Accepts a text of the right form with the right checksum; any other text is no key.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != CHARS || !text.is_ascii() {
            return None;
        }
        let (checked, given) = text.split_at(CHECKED_CHARS);
        let (id, random) = checked.strip_prefix(PREFIX)?.split_once('_')?;
        KeyId::parse(id)?;
        let is_random = random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_checked = given.chars().eq(checksum(checked));
        (is_random && is_checked).then(|| Self(text.to_owned()))
    }

    /// The ID in a text that has the length and the beginning of a key. The rest of the text is not checked.
    pub fn id_in(text: &str) -> Option<KeyId> {
        let rest = text.strip_prefix(PREFIX)?;
        (text.len() == CHARS).then(|| KeyId::parse(rest.get(..KeyId::CHARS)?))?
    }

    /// ID of the key, which is no secret.
    pub fn id(&self) -> KeyId {
        KeyId::at(&self.0, PREFIX.len())
    }

    /// The secret text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hash by which a key is recognized: see [`Self::hash_of`].
    pub fn hash(&self) -> [u8; 32] {
        Self::hash_of(&self.0)
    }

    /// The SHA-256 of `confab-key:` and the text of a key.
    pub fn hash_of(text: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(HASH_PREFIX)
            .chain_update(text)
            .finalize()
            .into()
    }

    /// Secret with which user tokens are signed: the SHA-256 of the text.
    pub fn signing_secret(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_…", self.id())
    }
}

/// CRC-32 (ISO-HDLC) in base 62, left-padded with zeros.
fn checksum(text: &str) -> [char; CHECKSUM_CHARS] {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = ['0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(BASE_62[(rest % 62) as usize]);
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, hash and signing secret, computed with Python's zlib and hashlib.
    const VECTORS: [(&str, &str, &str); 2] = [
        (
            "cfb_0a1b2c3d4e5f_000000000000000000000000000000000000000000032hnvO",
            "084466d5b54fe3b0ecbef42aaaeed71947803b6976927bfae0510cc959f158c1",
            "e862d32dd84a7e0446f08e78dedadbadf40a8fdb4a02bec138c5a1b10b16d3ff",
        ),
        (
            "cfb_wufs6rvypwjd_ELCrujke8PM3r804eluGRA35grOtWgIcFiI2TBAHS0G0e361M",
            "1192a188e3bd2c455e248db905ae031416e0edd67b73902f56a8ecc3d2913e60",
            "a9894f5723ea0a516d4cf2ef8f8ed3ee26f58a3e7a9b2b11ac424b158f7cf5a2",
        ),
    ];

    fn hex(bytes: [u8; 32]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn keys_match_the_documented_format() {
        for (text, hash, secret) in VECTORS {
            let key = KeyText::parse(text).expect("a key");
            assert_eq!(key.as_str(), text);
            assert_eq!(hex(key.hash()), hash);
            assert_eq!(hex(key.signing_secret()), secret);
        }
        // CRC-32/ISO-HDLC of the catalogue's check text is 0xcbf43926, which has 6 digits in base 62.
        let checksum = |text| String::from_iter(checksum(text));
        assert_eq!(checksum("123456789"), "3jZRME");
        assert_eq!(checksum(""), "000000");
    }

    #[test]
    fn generated_keys_are_parsed_and_differ() {
        let (one, other) = (KeyText::generate(), KeyText::generate());
        assert_eq!(KeyText::parse(one.as_str()), Some(one.clone()));
        assert_eq!(one.as_str().len(), 66);
        assert_ne!(one.id(), other.id());
        assert_ne!(one.hash(), other.hash());
        assert_ne!(one.hash(), one.signing_secret());
    }

    #[test]
    fn a_text_with_one_wrong_character_is_no_key() {
        let key = KeyText::generate();
        let text = key.as_str();
        for index in 0..text.len() {
            for wrong in ["0", "z", "_", "-", " ", "é", ""] {
                let mut changed = text.to_owned();
                changed.replace_range(index..=index, wrong);
                if changed != text {
                    assert_eq!(KeyText::parse(&changed), None, "{changed}");
                }
            }
        }
        for wrong in ["", "cfb_", &format!("{text}0"), &text.to_uppercase()] {
            assert_eq!(KeyText::parse(wrong), None, "{wrong}");
            assert_eq!(KeyText::id_in(wrong), None, "{wrong}");
        }
        assert_eq!(KeyText::id_in(text), Some(key.id()));
        let wrong_id = text.replace(key.id().as_str(), "0a1b2c3d4e5F");
        assert_eq!(KeyText::id_in(&wrong_id), None);
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let key = KeyText::generate();
        assert_eq!(format!("{key:?}"), format!("cfb_{}_…", key.id()));
    }
}
