//! Stores new applications.

use async_trait::async_trait;

use super::queue::Store;
use crate::{
    domain::{Application, Entry, Kind},
    stores::{Records, Result},
};

/// See the module.
pub struct CreateApplication;

#[async_trait]
impl Store for CreateApplication {
    const KIND: Kind = Kind::CreateApplication;

    async fn store(records: &dyn Records, epoch: u64, entries: &[&Entry]) -> Result<()> {
        let applications: Vec<Application> = entries
            .iter()
            .filter_map(|entry| (*entry).clone().into_application())
            .collect();
        records.store_applications(epoch, &applications).await
    }
}
