//! Writes as the queue takes them.

use super::rows::signed;
use crate::{
    domain::{Condition, IdempotencyKey, Kind, RequestId, Target, Write},
    stores::payload,
};

/// A write as the file keeps it.
#[derive(Debug)]
pub(super) struct NewJob {
    pub kind: Kind,
    pub app: String,
    /// Chat of a message, else 0.
    pub chat: i64,
    /// Message or chat that is changed, else 0.
    pub number: i64,
    /// Known members of the payload.
    pub members: String,
    /// Idempotency key of a creation.
    pub idempotency: Option<IdempotencyKey>,
    /// Condition on the version of a message that is changed.
    pub condition: Option<Condition>,
}

impl NewJob {
    pub fn new(write: &Write, request: Option<&RequestId>) -> Self {
        let Target { app, chat, number } = write.target;
        Self {
            kind: write.kind,
            app: app.to_string(),
            chat: signed(chat),
            number: signed(number),
            members: payload::members(write, request),
            idempotency: write.idempotency,
            condition: write.condition.clone(),
        }
    }
}
