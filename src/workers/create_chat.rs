//! Stores new chats.

use async_trait::async_trait;

use super::queue::Store;
use crate::{
    domain::{Chat, Entry, Kind},
    stores::{Records, Result},
};

/// See the module.
pub struct CreateChat;

#[async_trait]
impl Store for CreateChat {
    const KIND: Kind = Kind::CreateChat;

    async fn store(records: &dyn Records, epoch: u64, entries: &[&Entry]) -> Result<()> {
        let chats: Vec<Chat> = entries
            .iter()
            .filter_map(|entry| (*entry).clone().into_chat())
            .collect();
        records.store_chats(epoch, &chats).await
    }
}
