//! Stores new messages.

use async_trait::async_trait;

use super::queue::Store;
use crate::{
    domain::{Entry, Kind, Message},
    stores::{Records, Result},
};

/// See the module.
pub struct CreateMessage;

#[async_trait]
impl Store for CreateMessage {
    const KIND: Kind = Kind::CreateMessage;

    async fn store(records: &dyn Records, epoch: u64, entries: &[&Entry]) -> Result<()> {
        records.store_messages(epoch, &messages(entries)).await
    }
}

/// The messages that jobs hold, as created or as updated: storing is the same for both.
pub fn messages(entries: &[&Entry]) -> Vec<Message> {
    let messages = entries
        .iter()
        .filter_map(|entry| (*entry).clone().into_message());
    messages.collect()
}
