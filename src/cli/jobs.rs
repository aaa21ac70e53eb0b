//! `confab jobs`: inspecting and managing the job queues.

use std::{fmt::Write as _, sync::atomic::AtomicU64};

use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::json;

use super::{output::Output, retry::retry};
use crate::{
    domain::{Kind, Revision, time::rfc3339},
    maintenance::{JobInfo, JobState, KindStats, Maintenance},
};

/// Subcommands of `confab jobs`.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Prints the numbers of waiting, leased, delayed and dead jobs of each kind.
    Stats,
    /// Lists jobs in the order in which they were accepted, without texts.
    List {
        /// State of the jobs.
        #[arg(long, default_value = "dead", value_parser = state())]
        state: JobState,
        /// Kind of the jobs; all kinds if omitted.
        #[arg(long, value_parser = kind())]
        kind: Option<Kind>,
        /// Maximum number of jobs.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Lists only jobs that were accepted after this one.
        #[arg(long, value_name = "ID", value_parser = id)]
        after: Option<Revision>,
    },
    /// Shows one job, with the text that it carries.
    Show {
        /// Job ID, as printed by `jobs list`.
        #[arg(value_parser = id)]
        id: Revision,
    },
    /// Moves a dead or delayed job back to its queue and resets its attempt counter.
    Retry {
        /// Job ID, as printed by `jobs list`.
        #[arg(value_parser = id, required_unless_present = "all")]
        id: Option<Revision>,
        /// Retries all dead letters.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Discards a dead letter permanently. The write it holds is lost.
    #[command(visible_alias = "kill")]
    Discard {
        /// Job ID, as printed by `jobs list`.
        #[arg(value_parser = id)]
        id: Revision,
    },
    /// Pauses the processing of a kind of job in every process; jobs are still accepted.
    Pause {
        /// Kind of job.
        #[arg(value_parser = kind())]
        kind: Kind,
    },
    /// Ends a pause.
    Resume {
        /// Kind of job.
        #[arg(value_parser = kind())]
        kind: Kind,
    },
}

impl JobsCommand {
    /// Runs the subcommand.
    ///
    /// # Errors
    ///
    /// The queue's, and jobs that are not there or not in a state for this.
    pub async fn run(self, maintenance: &Maintenance, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Stats => print_stats(output, &retry(|| maintenance.job_stats()).await?)?,
            Self::List {
                state,
                kind,
                limit,
                after,
            } => {
                let limit = usize::from(limit);
                let listed = retry(|| maintenance.jobs(state, kind, after, limit)).await?;
                print_list(output, &listed, limit)?;
            }
            Self::Show { id } => {
                print_job(output, &retry(|| maintenance.job(id)).await?)?;
            }
            Self::Retry { id: Some(id), .. } => {
                retry(|| maintenance.retry_job(id)).await?;
                print_count(output, "retried", 1)?;
            }
            Self::Retry { id: None, .. } => {
                let retried = AtomicU64::new(0);
                retry(|| maintenance.retry_all_jobs(&retried)).await?;
                print_count(output, "retried", retried.into_inner())?;
            }
            Self::Discard { id } => {
                retry(|| maintenance.discard_job(id)).await?;
                output.print(&json!({ "killed": 1 }), |_, text| {
                    writeln!(text, "1 discarded")
                })?;
            }
            Self::Pause { kind } => {
                retry(|| maintenance.set_paused(kind, true)).await?;
                output.done(&format!("{} is paused", kind.name()))?;
            }
            Self::Resume { kind } => {
                retry(|| maintenance.set_paused(kind, false)).await?;
                output.done(&format!("{} is resumed", kind.name()))?;
            }
        }
        Ok(())
    }
}

fn print_stats(output: &Output, kinds: &[KindStats]) -> anyhow::Result<()> {
    output.print(&json!({ "kinds": kinds }), |_, text| {
        writeln!(
            text,
            "{:<20}{:>10}{:>10}{:>10}{:>10}{:>14}",
            "kind", "waiting", "leased", "delayed", "dead", "oldest (ms)"
        )?;
        for kind in kinds {
            writeln!(
                text,
                "{:<20}{:>10}{:>10}{:>10}{:>10}{:>14}{}",
                kind.kind,
                kind.waiting,
                kind.leased,
                kind.delayed,
                kind.dead,
                kind.oldest_ms,
                if kind.paused { "  paused" } else { "" }
            )?;
        }
        Ok(())
    })
}

fn print_list(output: &Output, jobs: &[JobInfo], limit: usize) -> anyhow::Result<()> {
    output.print(&json!({ "jobs": jobs }), |_, text| {
        for job in jobs {
            writeln!(
                text,
                "{}  {:<18}  {:<8}  {}  {}  {}",
                job.id,
                job.kind,
                job.state.name(),
                rfc3339(job.accepted_at),
                job.target,
                job.error.as_deref().unwrap_or_default()
            )?;
        }
        match jobs.last() {
            None => writeln!(text, "none"),
            Some(last) if jobs.len() == limit => {
                writeln!(text, "there may be more: --after {}", last.id)
            }
            Some(_) => Ok(()),
        }
    })
}

fn print_job(output: &Output, job: &JobInfo) -> anyhow::Result<()> {
    output.print(job, |job, text| {
        let optional = |value: &Option<String>| value.clone().unwrap_or_default();
        writeln!(text, "id        {}", job.id)?;
        writeln!(text, "kind      {}", job.kind)?;
        writeln!(text, "state     {}", job.state.name())?;
        writeln!(text, "target    {}", job.target)?;
        writeln!(text, "accepted  {}", rfc3339(job.accepted_at))?;
        writeln!(text, "request   {}", optional(&job.origin.request))?;
        writeln!(text, "key       {}", optional(&job.origin.key))?;
        writeln!(text, "user      {}", optional(&job.origin.user))?;
        if let Some(due) = job.due {
            writeln!(text, "due       {}", rfc3339(due))?;
        }
        writeln!(text, "failures  {}", job.tries)?;
        writeln!(text, "crashes   {}", job.crashes)?;
        writeln!(text, "error     {}", optional(&job.error))?;
        writeln!(text, "payload   {}", optional(&job.payload))
    })
}

fn print_count(output: &Output, what: &str, jobs: u64) -> anyhow::Result<()> {
    output.print(&json!({ what: jobs }), |_, text| {
        writeln!(text, "{jobs} {what}")
    })
}

fn id(text: &str) -> Result<Revision, String> {
    Revision::parse(text).ok_or_else(|| "a job's id is 16 hexadecimal digits".into())
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .try_map(|name| Kind::from_name(&name).ok_or("no such kind"))
}

fn state() -> impl TypedValueParser<Value = JobState> {
    PossibleValuesParser::new(JobState::ALL.map(JobState::name))
        .try_map(|name| JobState::from_name(&name).ok_or("no such state"))
}
