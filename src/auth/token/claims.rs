//! Claims of a token: names and types, read strictly. Unknown claims are ignored.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

use super::{Action, Chats, MAX_CHATS, MAX_USER_CHARS, Token};
use crate::domain::{AppId, key::KeyId};

/// Claims as they are written. serde refuses a claim that comes twice, and a number with a fraction for a whole one.
#[derive(Serialize, Deserialize)]
pub struct Claims {
    app: String,
    sub: String,
    /// Unsigned, so that no claim is before 1970.
    iat: u32,
    exp: u32,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    nbf: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    chats: Option<Chats>,
    #[serde(default, deserialize_with = "present")]
    can: Option<BTreeSet<Action>>,
}

impl Claims {
    /// Checks the values.
    pub fn into_token(self, key: KeyId) -> Option<Token> {
        let characters = self.sub.chars().count();
        let is_user = (1..=MAX_USER_CHARS).contains(&characters) && !self.sub.contains('\0');
        let app = AppId::parse(&self.app).filter(|_| is_user)?;
        let default = || BTreeSet::from([Action::Read, Action::Write]);
        Some(Token {
            key,
            app,
            user: self.sub.into(),
            chats: self.chats.unwrap_or(Chats::Some(BTreeSet::new())),
            can: self.can.unwrap_or_else(default),
            issued_at: self.iat.into(),
            expires_at: self.exp.into(),
            not_before: self.nbf.map(Into::into),
        })
    }
}

impl From<&Token> for Claims {
    fn from(token: &Token) -> Self {
        let seconds = |time: i64| u32::try_from(time).unwrap_or(u32::MAX);
        Self {
            app: token.app.to_string(),
            sub: token.user.to_string(),
            iat: seconds(token.issued_at),
            exp: seconds(token.expires_at),
            nbf: token.not_before.map(seconds),
            chats: Some(token.chats.clone()),
            can: Some(token.can.clone()),
        }
    }
}

/// Reads a claim that is there; `null` is none of its values.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Text that stands for all chats.
const ALL: &str = "*";

impl Serialize for Chats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str(ALL),
            Self::Some(numbers) => numbers.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Chats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChatsVisitor)
    }
}

struct ChatsVisitor;

impl<'de> Visitor<'de> for ChatsVisitor {
    type Value = Chats;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{ALL}\" or up to {MAX_CHATS} numbers of chats")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Chats, E> {
        match text {
            ALL => Ok(Chats::All),
            _ => Err(E::custom("unknown text")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Chats, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = items.next_element()? {
            if numbers.len() == MAX_CHATS {
                return Err(A::Error::custom("too many chats"));
            }
            numbers.push(number);
        }
        Chats::some(&numbers).ok_or_else(|| A::Error::custom("not a chat's number"))
    }
}
