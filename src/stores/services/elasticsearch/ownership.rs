//! Which indices belong to this installation.
//!
//! An index carries the ID of the installation that created it in `_meta.installation`. Only such an index is ever
//! deleted: others may have a name of the same form. Older programs set no mark; their indices are adopted once.

use std::collections::BTreeMap;

use elasticsearch::indices::{
    IndicesDeleteParts, IndicesGetAliasParts, IndicesGetParts, IndicesPutMappingParts,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    SearchIndex,
    indices::{INSTALLATION, own_alias},
};
use crate::stores::{Result, call::call};

/// Definition of an index, as far as it is requested.
#[derive(Default, Deserialize)]
struct Index {
    #[serde(default)]
    mappings: Mappings,
}

#[derive(Default, Deserialize)]
struct Mappings {
    #[serde(rename = "_meta", default)]
    meta: Map<String, Value>,
}

impl SearchIndex {
    /// Marks the present indices of older programs, which set no mark, as those of `installation`.
    pub async fn adopt(&self, installation: &str) -> Result<()> {
        let parts = [&*self.pattern()];
        let aliases = self.aliases(
            call!("search", "current"),
            IndicesGetAliasParts::Index(&parts),
        );
        let aliases = aliases.await?;
        let marks = self.marks().await?;
        for (name, index) in &aliases {
            let meta = marks.get(name).cloned().unwrap_or_default();
            let own = own_alias(name);
            let is_confabs = [&own, &self.alias]
                .into_iter()
                .any(|alias| index.aliases.contains_key(alias));
            if self.is_named(name) && is_confabs && !meta.contains_key(INSTALLATION) {
                self.mark(name, meta, installation).await?;
            }
        }
        Ok(())
    }

    async fn mark(
        &self,
        index: &str,
        mut meta: Map<String, Value>,
        installation: &str,
    ) -> Result<()> {
        meta.insert(INSTALLATION.to_owned(), installation.into());
        let parts = [index];
        let indices = self.client.indices();
        let put = indices
            .put_mapping(IndicesPutMappingParts::Index(&parts))
            .body(json!({ "_meta": meta }))
            .send();
        let marked = self
            .send_write::<Value>(call!("search", "adopt"), put)
            .await;
        match marked {
            Err(rejection) if rejection.is_missing_index() => Ok(()),
            Err(rejection) => Err(rejection.error(index)),
            Ok(_) => {
                tracing::info!(
                    index,
                    "Marked a search index of an older version as this installation's"
                );
                Ok(())
            }
        }
    }

    /// Deletes every index of `installation` but `kept`.
    pub(super) async fn delete_others(&self, kept: &str, installation: &str) -> Result<()> {
        for (other, meta) in self.marks().await? {
            let is_ours = meta
                .get(INSTALLATION)
                .is_some_and(|mark| mark == installation);
            if other == kept || !self.is_named(&other) || !is_ours {
                continue;
            }
            let parts = [&*other];
            let indices = self.client.indices();
            let delete = indices.delete(IndicesDeleteParts::Index(&parts)).send();
            match self
                .send_write::<Value>(call!("search", "swap"), delete)
                .await
            {
                Err(rejection) if !rejection.is_missing_index() => {
                    return Err(rejection.error(&other));
                }
                _ => tracing::info!(index = other.as_str(), "Deleted an unused index"),
            }
        }
        Ok(())
    }

    /// Returns the metadata of all indices whose names begin as those of this installation.
    async fn marks(&self) -> Result<BTreeMap<String, Map<String, Value>>> {
        let pattern = self.pattern();
        let parts = [&*pattern];
        let indices = self.client.indices();
        let get = indices
            .get(IndicesGetParts::Index(&parts))
            .filter_path(&["*.mappings._meta"])
            .send();
        let found: BTreeMap<String, Index> =
            self.get(call!("search", "fits"), &pattern, get).await?;
        let marks = found.into_iter();
        Ok(marks
            .map(|(name, index)| (name, index.mappings.meta))
            .collect())
    }

    fn pattern(&self) -> String {
        format!("{}-*", self.alias)
    }

    /// Tells whether an index has a name of [`Self::create`].
    pub(super) fn is_named(&self, index: &str) -> bool {
        index
            .strip_prefix(&self.alias)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    }
}
