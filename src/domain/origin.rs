//! Origin of a write, as logs and jobs name it.

use serde::{Deserialize, Serialize};

use super::{KeyId, RequestId};

/// Key, and user of a token, that a request was sent with. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// ID of the key, or of the key that signed the token.
    pub key: KeyId,
    /// The user of a token.
    pub user: Option<Box<str>>,
}

/// Request that a write comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// ID of the request.
    pub request: RequestId,
    /// Key and user that sent it; `None` in open mode.
    pub actor: Option<Actor>,
}

/// Origin of a job, as far as the job names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobOrigin {
    /// ID of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// ID of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The user of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Origin {
    /// The user, who may change only own messages.
    pub fn user(&self) -> Option<&str> {
        self.actor.as_ref()?.user.as_deref()
    }
}
