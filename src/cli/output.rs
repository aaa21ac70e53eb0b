//! Output of results: text, or JSON with `--json`.

use serde::Serialize;

use crate::maintenance::{CountsReport, IndexReport, Rebuilt};

/// Number of findings that are printed one by one.
const SHOWN: usize = 20;

/// Output format.
pub struct Output {
    /// Prints one JSON object instead of text.
    pub json: bool,
}

impl Output {
    /// Prints a value as JSON, or as `lines` does.
    pub fn print<T: Serialize>(&self, value: &T, lines: impl FnOnce(&T)) {
        if self.json {
            // What is printed are structs of strings and numbers, which always serialise.
            println!("{}", serde_json::to_string(value).unwrap_or_default());
        } else {
            lines(value);
        }
    }

    /// Prints that something was done.
    pub fn done(&self, what: &str) {
        self.print(&serde_json::json!({ "done": what }), |_| println!("{what}"));
    }

    /// Prints the outcome of a rebuild.
    pub fn rebuilt(&self, rebuilt: &Rebuilt) {
        self.print(rebuilt, |rebuilt| {
            println!("{} messages are in the new index", rebuilt.messages);
            if rebuilt.resumed_at > 0 {
                println!(
                    "  {} of them from an earlier, interrupted rebuild",
                    rebuilt.resumed_at
                );
            }
            if rebuilt.refused > 0 {
                println!("  {} were rejected: see the log", rebuilt.refused);
            }
        });
    }

    /// Prints the outcome of a comparison of index and rows.
    pub fn index(&self, report: &IndexReport) {
        self.print(report, |report| {
            println!(
                "{} rows and {} documents compared: {} differ, {} repaired",
                report.rows,
                report.documents,
                report.findings.len(),
                report.repaired
            );
            for finding in report.findings.iter().take(SHOWN) {
                println!("  {} {:?}", finding.key, finding.problem);
            }
            more(report.findings.len());
        });
    }

    /// Prints the outcome of a recount.
    pub fn counts(&self, report: &CountsReport) {
        self.print(report, |report| {
            println!(
                "{} applications and {} chats counted: {} counts are wrong{}",
                report.applications,
                report.chats,
                report.findings.len(),
                if report.fixed { ", and corrected" } else { "" }
            );
            for wrong in report.findings.iter().take(SHOWN) {
                println!(
                    "  {} stored {}, counted {}",
                    wrong.key, wrong.stored, wrong.counted
                );
            }
            more(report.findings.len());
        });
    }
}

fn more(findings: usize) {
    if findings > SHOWN {
        println!("  … and {} more; --json lists them all", findings - SHOWN);
    }
}
