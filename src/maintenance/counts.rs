//! Recounting, and correcting the counts.

use serde::Serialize;

use super::{Maintenance, Progress, Watch, scan};
use crate::stores::{Backend, Result, WrongCount, services::mysql};

/// Applications or chats that one step recounts.
const PAGE: usize = 1000;

/// Result of a recount of everything.
#[derive(Debug, Default, Serialize)]
pub struct CountsReport {
    /// Applications whose chats were counted.
    pub applications: usize,
    /// Chats whose messages were counted.
    pub chats: usize,
    /// Counts that were wrong.
    pub findings: Vec<WrongCount>,
    /// Tells whether wrong counts were corrected.
    pub fixed: bool,
}

impl Maintenance {
    /// Recounts everything, and with `fix` corrects what is wrong.
    pub async fn verify_counts(&self, fix: bool, watch: Watch<'_>) -> Result<CountsReport> {
        let mut report = CountsReport {
            fixed: fix,
            ..CountsReport::default()
        };
        let totals = self.backend.totals().await?;
        let total = totals.applications + totals.chats;
        let report_progress = |report: &CountsReport| {
            let done = (report.applications + report.chats) as u64;
            watch(Progress { done, total });
        };
        scan(async |after| {
            let step = self.backend.recount_chats(after, PAGE, fix).await?;
            report.applications += step.scanned;
            report_progress(&report);
            report.findings.extend(step.findings);
            Ok(step.last)
        })
        .await?;
        scan(async |after| {
            let step = self.backend.recount_messages(after, PAGE, fix).await?;
            report.chats += step.scanned;
            report_progress(&report);
            report.findings.extend(step.findings);
            Ok(step.last)
        })
        .await?;
        // There corrections wait like any other change, and no worker may be running.
        if fix && let Backend::Services(services) = &self.backend {
            for count in [&mysql::CHATS, &mysql::MESSAGES] {
                while services.mysql.apply_counts(count, PAGE).await? > 0 {}
            }
        }
        Ok(report)
    }
}
