//! The list of applications.

use super::Maintenance;
use crate::{
    domain::application::{ApplicationsListing, ApplicationsPage},
    stores::{Read, Result},
};

impl Maintenance {
    /// A page of all applications, in the order in which they were accepted.
    pub async fn applications(&self, page: &ApplicationsPage) -> Result<Read<ApplicationsListing>> {
        self.backend.applications(page).await
    }
}
