//! The indices and which of them is in use.
//!
//! `mapping.json` is their definition. Beside the obvious it settles:
//!
//! - Documents are sorted by chat, the newest first, which is the order of hits: a search stops at the last hit of
//!   its page, however many there are (measured over 360,000 messages of one chat: 1.5 instead of 30 ms for a common
//!   word; filling is no slower).
//! - `chat` is one term for application and number, zero-padded: the filter of every search is one short list, and it
//!   sorts in key order.
//! - `words` is what is searched: laid out by [`super::tokens`], with the prefixes beside it, and dropped from what
//!   is stored. `text` is what is answered, stored and nothing else.
//! - `refresh_interval` is explicit, though it is the default: otherwise an index without searches for 30 s is not
//!   refreshed, and the next search waits.
//! - One shard, which holds 2 billion messages. One replica if there is a second node.
//! - Nothing is mapped by guess (`strict`). [`NEW_FIELDS`] are added to an index of an older version, which answers until
//!   its successor is complete.
//! - `sender` is a term, and not searched yet. `data` is answered and nothing else.
//! - `_meta.installation` is added at creation: see `ownership.rs`.
//! - `_meta.version` is raised with every change of it, or of the tokens: an index of an older version is
//!   replaced by a new one.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use elasticsearch::indices::{
    IndicesCreateParts, IndicesGetAliasParts, IndicesPutMappingParts, IndicesRefreshParts,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{SearchIndex, failed, response::Rejection, unavailable};
use crate::stores::{
    Error, IndexState, Result,
    call::{Call, call},
};

pub(super) const DEFINITION: &str = include_str!("mapping.json");

/// Fields that an index of an older version may lack.
const NEW_FIELDS: [&str; 2] = ["sender", "data"];

/// Number of names to try for a new index.
const NAMES: u64 = 10;

/// Indices with their aliases.
pub(super) type Aliases = BTreeMap<String, AliasesOf>;

/// Aliases of one index.
#[derive(Deserialize)]
pub(super) struct AliasesOf {
    /// By name.
    pub aliases: BTreeMap<String, Alias>,
}

/// An alias of an index.
#[derive(Deserialize)]
pub(super) struct Alias {
    #[serde(default)]
    is_write_index: bool,
}

#[derive(Deserialize)]
struct Refreshed {
    #[serde(rename = "_shards")]
    shards: Shards,
}

#[derive(Deserialize)]
struct Shards {
    failed: u32,
}

/// Member of `_meta` with the ID of the installation: see `ownership.rs`.
pub(super) const INSTALLATION: &str = "installation";

/// Returns the permanent alias of an index. Writes to the index use it, because a write to its name would create the
/// index again if it had been deleted meanwhile.
pub(super) fn own_alias(index: &str) -> String {
    format!("{index}.put")
}

impl SearchIndex {
    /// The index in use; `None` if there is none.
    pub async fn in_use(&self) -> Result<Option<String>> {
        let in_use = self.aliased(call!("search", "current")).await?;
        let written = in_use.iter().find(|(_, index)| {
            index
                .aliases
                .get(&self.alias)
                .is_some_and(|alias| alias.is_write_index)
        });
        let index = written.or(in_use.last_key_value());
        Ok(index.map(|(name, _)| name.clone()))
    }

    /// Tells whether an index is in use.
    ///
    /// # Errors
    ///
    /// [`Error::IndexMissing`] if Elasticsearch responds and has none: the reconciler makes one.
    pub async fn probe(&self) -> Result<()> {
        let index = self.aliased(call!("search", "ping")).await?;
        match index.is_empty() {
            true => Err(Error::IndexMissing(self.alias.clone())),
            false => Ok(()),
        }
    }

    pub(crate) async fn state(&self) -> Result<IndexState> {
        Ok(match self.in_use().await? {
            None => IndexState::Missing,
            Some(index) if self.is_outdated(&index).await? => IndexState::Outdated,
            Some(_) => IndexState::Current,
        })
    }

    /// Creates an empty index of `installation` and returns its name. If none is in use, it is put into use at once.
    ///
    /// The new index takes the alias in the request that creates it, as its write index. An alias can have but one:
    /// of two processes that do this at once, Elasticsearch refuses the second, which takes the first's.
    pub async fn create(&self, installation: &str) -> Result<String> {
        let mut definition: Value = serde_json::from_str(DEFINITION).map_err(failed)?;
        definition["mappings"]["_meta"][INSTALLATION] = installation.into();
        let unused = self.in_use().await?.is_none();
        let now = millis();
        let mut rejection = None;
        for millis in now..now + NAMES {
            let name = format!("{}-{millis}", self.alias);
            definition["aliases"] = json!({ own_alias(&name): {} });
            if unused {
                definition["aliases"][&self.alias] = json!({"is_write_index": true});
            }
            match self.try_create(&name, &definition).await {
                Ok(()) => return Ok(name),
                Err(other) if other.is_kind("resource_already_exists_exception") => {
                    rejection = Some(other);
                }
                Err(other @ Rejection::Status { .. }) if unused => {
                    return match self.in_use().await? {
                        Some(index) => Ok(index),
                        None => Err(other.error(&name)),
                    };
                }
                Err(other) => return Err(other.error(&name)),
            }
        }
        Err(rejection.map_or_else(
            || failed("no name is free"),
            |other| other.error(&self.alias),
        ))
    }

    async fn try_create(
        &self,
        name: &str,
        definition: &Value,
    ) -> std::result::Result<(), Rejection> {
        self.send_write::<Value>(
            call!("search", "create"),
            self.client
                .indices()
                .create(IndicesCreateParts::Index(name))
                .body(definition)
                .send(),
        )
        .await
        .map(drop)
    }

    /// Adds the fields of this version to an index of an older one.
    pub(super) async fn add_fields(&self, index: &str) -> Result<()> {
        let definition: Value = serde_json::from_str(DEFINITION).map_err(failed)?;
        let properties = &definition["mappings"]["properties"];
        let fields = NEW_FIELDS.map(|name| (name.to_owned(), properties[name].clone()));
        let parts = [index];
        let indices = self.client.indices();
        let put = indices
            .put_mapping(IndicesPutMappingParts::Index(&parts))
            .body(json!({ "properties": Map::from_iter(fields) }))
            .send();
        let added = self.send_write::<Value>(call!("search", "add_fields"), put);
        added.await.map_err(|rejection| rejection.error(index))?;
        tracing::info!(index, "Added fields to a search index of an older version");
        Ok(())
    }

    /// Puts `index` into use, in one step, and deletes every other one of `installation`.
    ///
    /// The deleted indices are already out of use. If deleting fails, the next swap deletes them.
    pub async fn swap(&self, index: &str, installation: &str) -> Result<()> {
        if !self.is_named(index) {
            return Err(failed(format!(
                "{index:?} is no index of this installation"
            )));
        }
        // Makes recent documents visible before the swap, and fails if the index does not exist.
        self.refresh_index(index).await?;
        let mut actions = vec![json!({
            "add": {"index": index, "alias": self.alias, "is_write_index": true}
        })];
        for other in self
            .aliased(call!("search", "current"))
            .await?
            .keys()
            .filter(|name| *name != index)
        {
            actions.push(json!({"remove": {"index": other, "alias": self.alias}}));
        }
        self.send_write::<Value>(
            call!("search", "swap"),
            self.client
                .indices()
                .update_aliases()
                .body(json!({ "actions": actions }))
                .send(),
        )
        .await
        .map_err(|rejection| {
            if rejection.is_status(404) {
                // One of several indices was deleted meanwhile; the next attempt reads the aliases again.
                unavailable(rejection.detail())
            } else {
                rejection.error(index)
            }
        })?;
        if let Err(error) = self.delete_others(index, installation).await {
            tracing::warn!(%error, "Failed to delete unused indices; the next swap deletes them");
        }
        Ok(())
    }

    /// Waits until what was put can be found.
    pub async fn refresh(&self) -> Result<()> {
        self.refresh_index(&self.alias).await
    }

    async fn refresh_index(&self, index: &str) -> Result<()> {
        let refreshed: Refreshed = self
            .send_write(
                call!("search", "refresh"),
                self.client
                    .indices()
                    .refresh(IndicesRefreshParts::Index(&[index]))
                    .send(),
            )
            .await
            .map_err(|rejection| rejection.error(index))?;
        if refreshed.shards.failed > 0 {
            return Err(unavailable("a shard was not refreshed"));
        }
        Ok(())
    }

    /// Returns the indices of the alias: one, unless something else changed it.
    async fn aliased(&self, call: &Call) -> Result<Aliases> {
        self.aliases(call, IndicesGetAliasParts::Name(&[&self.alias]))
            .await
    }

    pub(super) async fn aliases(
        &self,
        call: &Call,
        parts: IndicesGetAliasParts<'_>,
    ) -> Result<Aliases> {
        match self
            .send_read(call, self.client.indices().get_alias(parts).send())
            .await
        {
            Err(rejection) if rejection.is_status(404) => Ok(Aliases::new()),
            response => response.map_err(|rejection| rejection.error(&self.alias)),
        }
    }
}

fn millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_millis() as u64)
}
