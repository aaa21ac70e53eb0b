//! Query of a list of jobs.

use std::fmt::Display;

use actix_web::{HttpRequest, web::Query};
use serde::Deserialize;

use super::error::AdminError;
use crate::{
    domain::{Kind, Revision},
    maintenance::{JobInfo, JobState, Maintenance, StoreError},
};

const MAX_LIMIT: usize = 1000;

/// A page of a list of jobs.
#[derive(Debug, Clone, Copy)]
pub struct JobsQuery {
    /// Jobs in this state.
    pub state: JobState,
    /// Jobs of this kind, or of all.
    pub kind: Option<Kind>,
    /// Jobs accepted after this one.
    pub after: Option<Revision>,
    /// Maximum number of jobs.
    pub limit: usize,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    state: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: String,
}

impl JobsQuery {
    /// Jobs on one page, if the query has no `limit`.
    pub const LIMIT: usize = 20;

    /// Reads the query of a request; an empty value is as good as none.
    ///
    /// # Errors
    ///
    /// A value that there is not.
    pub fn read(request: &HttpRequest) -> Result<Self, AdminError> {
        let Query(raw) = Query::<Raw>::from_query(request.query_string())
            .map_err(|error| AdminError::Parameter(error.to_string()))?;
        let state = given(
            &raw.state,
            "state",
            names(&JobState::ALL.map(JobState::name)),
            JobState::from_name,
        )?;
        let after = given(
            &raw.after,
            "after",
            "16 hexadecimal digits",
            Revision::parse,
        )?;
        let limit = given(
            &raw.limit,
            "limit",
            "a whole number from 1 to 1000",
            |text| {
                text.parse()
                    .ok()
                    .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            },
        )?;
        Ok(Self {
            state: state.unwrap_or(JobState::Dead),
            kind: given(
                &raw.kind,
                "kind",
                names(&Kind::ALL.map(Kind::name)),
                Kind::from_name,
            )?,
            after,
            limit: limit.unwrap_or(Self::LIMIT),
        })
    }

    /// The jobs.
    ///
    /// # Errors
    ///
    /// The queue's.
    pub async fn jobs(&self, maintenance: &Maintenance) -> Result<Vec<JobInfo>, StoreError> {
        maintenance
            .jobs(self.state, self.kind, self.after, self.limit)
            .await
    }
}

fn given<T>(
    text: &str,
    name: &str,
    rule: impl Display,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, AdminError> {
    if text.is_empty() {
        return Ok(None);
    }
    let value = read(text).ok_or_else(|| AdminError::Parameter(format!("{name} must be {rule}")));
    value.map(Some)
}

fn names(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}
