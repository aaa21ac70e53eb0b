//! Diagnosis of Elasticsearch.

use std::collections::BTreeMap;

use elasticsearch::{cluster::ClusterHealthParts, indices::IndicesGetParts, nodes::NodesInfoParts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    SETTINGS, SearchIndex, failed,
    indices::{DEFINITION, INSTALLATION},
};
use crate::stores::{Check, Result, call::call, services::tls};

#[derive(Deserialize)]
struct Nodes {
    nodes: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    version: String,
}

#[derive(Deserialize)]
struct ClusterHealth {
    status: String,
    unassigned_shards: u64,
}

impl SearchIndex {
    /// Examines the server and its settings. That it is unreachable is a finding.
    pub async fn diagnose(&self) -> Vec<Check> {
        self.checks().await.unwrap_or_else(|error| {
            let otherwise =
                "check that Elasticsearch is running, and that services.elasticsearch_url has the right address";
            let advice = tls::advice(&error, SETTINGS, otherwise);
            vec![Check::problem("elasticsearch", error.to_string(), advice)]
        })
    }

    async fn checks(&self) -> Result<Vec<Check>> {
        let mut checks = vec![self.version().await?];
        let name = "elasticsearch index";
        let Some(index) = self.in_use().await? else {
            checks.push(Check::problem(
                name,
                format!("the alias {} has no index", self.alias),
                "run `confab search rebuild`; a running confab with workers does so automatically",
            ));
            return Ok(checks);
        };
        checks.push(Check::ok(
            name,
            format!("{index}, by the alias {}", self.alias),
        ));
        checks.push(self.health(&index).await?);
        checks.push(self.definition(&index).await?);
        Ok(checks)
    }

    async fn version(&self) -> Result<Check> {
        let nodes: Nodes = self
            .get(
                call!("search", "examine"),
                &self.alias,
                self.client
                    .nodes()
                    .info(NodesInfoParts::NodeId(&["_local"]))
                    .filter_path(&["nodes.*.version"])
                    .send(),
            )
            .await?;
        let node = nodes.nodes.into_values().next();
        let version = node.map(|node| node.version).unwrap_or_default();
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        let found = format!("version {version}");
        Ok(if major.is_some_and(|major: u32| major >= 7) {
            Check::ok("elasticsearch", found)
        } else {
            Check::problem("elasticsearch", found, "use Elasticsearch 7.17 or later")
        })
    }

    async fn health(&self, index: &str) -> Result<Check> {
        let health: ClusterHealth = self
            .get(
                call!("search", "examine"),
                index,
                self.client
                    .cluster()
                    .health(ClusterHealthParts::Index(&[index]))
                    .filter_path(&["status", "unassigned_shards"])
                    .send(),
            )
            .await?;
        let name = "elasticsearch health";
        let found = format!(
            "{}, {} unassigned shards",
            health.status, health.unassigned_shards
        );
        Ok(match health.status.as_str() {
            "green" => Check::ok(name, found),
            "yellow" => Check::warning(
                name,
                found,
                "a replica is unassigned: see GET /_cluster/allocation/explain",
            ),
            _ => Check::problem(
                name,
                found,
                "search is unavailable: see GET /_cluster/allocation/explain; if the index is lost, `confab search rebuild` builds a new one",
            ),
        })
    }

    async fn definition(&self, index: &str) -> Result<Check> {
        let name = "elasticsearch mapping";
        Ok(if self.fits(index).await? {
            Check::ok(name, "up to date")
        } else {
            Check::problem(
                name,
                format!("{index} has another mapping than this program creates"),
                "run `confab search rebuild`: it builds an index with the current mapping",
            )
        })
    }

    /// Tells whether an index has the mapping and the sort order of a new one.
    pub async fn fits(&self, index: &str) -> Result<bool> {
        let Some(defined) = self.defined(index).await? else {
            return Ok(false);
        };
        let wanted: Value = serde_json::from_str(DEFINITION).map_err(failed)?;
        let sort = &defined[index]["settings"]["index"]["sort"];
        Ok(
            explicit(&defined[index]["mappings"]) == explicit(&wanted["mappings"])
                && sort["field"] == wanted["settings"]["sort.field"]
                && sort["order"] == wanted["settings"]["sort.order"],
        )
    }

    /// Tells whether an older program created an index, by its version. An index of a newer program stays: otherwise
    /// two versions side by side would replace each other's index.
    pub(super) async fn is_outdated(&self, index: &str) -> Result<bool> {
        let Some(defined) = self.defined(index).await? else {
            return Ok(false);
        };
        let wanted: Value = serde_json::from_str(DEFINITION).map_err(failed)?;
        Ok(version(&defined[index]["mappings"]) < version(&wanted["mappings"]))
    }

    /// Returns the definition of an index; `None` if it does not exist.
    async fn defined(&self, index: &str) -> Result<Option<Value>> {
        match self
            .send_read(
                call!("search", "fits"),
                self.client
                    .indices()
                    .get(IndicesGetParts::Index(&[index]))
                    .filter_path(&["*.mappings", "*.settings.index.sort"])
                    .send(),
            )
            .await
        {
            Err(rejection) if rejection.is_missing_index() => Ok(None),
            response => response
                .map(Some)
                .map_err(|rejection| rejection.error(index)),
        }
    }
}

/// Returns the version in a mapping. The first mappings had none.
fn version(mapping: &Value) -> u64 {
    mapping["_meta"]["version"].as_u64().unwrap_or(0)
}

/// A mapping without the mark of the installation, and without what Elasticsearch leaves out of its answer, as it is the
/// default.
fn explicit(mapping: &Value) -> Value {
    let mut mapping = mapping.clone();
    if let Some(meta) = mapping["_meta"].as_object_mut() {
        meta.remove(INSTALLATION);
    }
    if let Some(fields) = mapping["properties"].as_object_mut() {
        for field in fields.values_mut().filter_map(Value::as_object_mut) {
            field.retain(|name, value| name != "index_options" || *value != json!("positions"));
        }
    }
    mapping
}
