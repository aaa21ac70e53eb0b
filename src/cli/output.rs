//! Output of results: text, or JSON with `--json`.

use std::{
    fmt::{self, Write as _},
    io::{self, ErrorKind, Write as _},
};

use anyhow::Context as _;
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
    /// Prints a value as JSON, or the text that `lines` makes of it.
    ///
    /// # Errors
    ///
    /// Same as [`print`].
    pub fn print<T: Serialize>(
        &self,
        value: &T,
        lines: impl FnOnce(&T, &mut String) -> fmt::Result,
    ) -> anyhow::Result<()> {
        let mut text = String::new();
        if self.json {
            text = serde_json::to_string(value)?;
            text.push('\n');
        } else {
            lines(value, &mut text)?;
        }
        print(text.as_bytes())
    }

    /// Prints that something was done.
    ///
    /// # Errors
    ///
    /// Same as [`print`].
    pub fn done(&self, what: &str) -> anyhow::Result<()> {
        self.print(&serde_json::json!({ "done": what }), |_, text| {
            writeln!(text, "{what}")
        })
    }

    /// Prints the outcome of a rebuild.
    ///
    /// # Errors
    ///
    /// Same as [`print`].
    pub fn rebuilt(&self, rebuilt: &Rebuilt) -> anyhow::Result<()> {
        self.print(rebuilt, |rebuilt, text| {
            writeln!(text, "{} messages are in the new index", rebuilt.messages)?;
            if rebuilt.resumed_at > 0 {
                writeln!(
                    text,
                    "  {} of them from an earlier, interrupted rebuild",
                    rebuilt.resumed_at
                )?;
            }
            if rebuilt.refused > 0 {
                writeln!(text, "  {} were rejected: see the log", rebuilt.refused)?;
            }
            Ok(())
        })
    }

    /// Prints the outcome of a comparison of index and rows.
    ///
    /// # Errors
    ///
    /// Same as [`print`].
    pub fn index(&self, report: &IndexReport) -> anyhow::Result<()> {
        self.print(report, |report, text| {
            writeln!(
                text,
                "{} rows and {} documents compared: {} differ, {} repaired",
                report.rows,
                report.documents,
                report.findings.len(),
                report.repaired
            )?;
            for finding in report.findings.iter().take(SHOWN) {
                writeln!(text, "  {} {:?}", finding.key, finding.problem)?;
            }
            more(report.findings.len(), text)
        })
    }

    /// Prints the outcome of a recount.
    ///
    /// # Errors
    ///
    /// Same as [`print`].
    pub fn counts(&self, report: &CountsReport) -> anyhow::Result<()> {
        self.print(report, |report, text| {
            let wrong = match (report.findings.len(), report.fixed) {
                (0, _) => "no count is wrong".to_owned(),
                (1, false) => "1 count is wrong".to_owned(),
                (1, true) => "1 count was wrong and is corrected".to_owned(),
                (wrong, false) => format!("{wrong} counts are wrong"),
                (wrong, true) => format!("{wrong} counts were wrong and are corrected"),
            };
            writeln!(
                text,
                "{} applications and {} chats counted: {wrong}",
                report.applications, report.chats,
            )?;
            for wrong in report.findings.iter().take(SHOWN) {
                writeln!(
                    text,
                    "  {} stored {}, counted {}",
                    wrong.key, wrong.stored, wrong.counted
                )?;
            }
            more(report.findings.len(), text)
        })
    }
}

fn more(findings: usize, text: &mut String) -> fmt::Result {
    if findings > SHOWN {
        let more = findings - SHOWN;
        writeln!(text, "  … and {more} more; --json lists them all")?;
    }
    Ok(())
}

/// Writes a result to standard output. A reader that closed the pipe (`| head`) has what it wants, so that is no error, and
/// the exit code of the command stays.
///
/// # Errors
///
/// A standard output that takes nothing, such as a file on a full disk.
pub fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

/// Writes a line to standard error. Where that fails, there is nobody to tell.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
