//! Stores messages' new texts. It does not matter whether the message's creation is stored yet.

use async_trait::async_trait;

use super::{create_message::messages, queue::Store};
use crate::{
    domain::{Entry, Kind},
    stores::{Records, Result},
};

/// See the module.
pub struct UpdateMessage;

#[async_trait]
impl Store for UpdateMessage {
    const KIND: Kind = Kind::UpdateMessage;

    async fn store(records: &dyn Records, epoch: u64, entries: &[&Entry]) -> Result<()> {
        records.store_messages(epoch, &messages(entries)).await
    }
}
