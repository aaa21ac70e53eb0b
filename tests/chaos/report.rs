//! The result of each fault: a row of the table.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

/// The largest number of findings printed per row.
const SHOWN: usize = 30;

/// The result of one fault, over all its rounds.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Row {
    /// The name of the trial.
    pub fault: String,
    /// The number of rounds.
    pub rounds: usize,
    /// Requests that succeeded.
    pub answered: usize,
    /// Requests that succeeded during the fault.
    pub during_fault: usize,
    /// Acknowledged applications, chats and messages that do not exist.
    pub lost: usize,
    /// Messages with a text that is not allowed, and reads that did not return the reader's own write.
    pub wrong: usize,
    /// Texts in more than one row.
    pub duplicated: usize,
    /// Numbers returned for two creations.
    pub twice: usize,
    /// Missing numbers below an existing one.
    pub gaps: usize,
    /// Rows without a search document.
    pub missing: usize,
    /// Search documents without a row.
    pub dangling: usize,
    /// Search documents whose text differs from their row.
    pub stale: usize,
    /// Wrong counts.
    pub counts: usize,
    /// Dead letters.
    pub dead: usize,
    /// Unexpected responses, and everything else that is wrong.
    pub unexpected: usize,
    /// Seconds from the end of the fault until all work is done, for each round.
    pub seconds_to_converge: Vec<f64>,
    /// Acknowledged messages that only Redis held when it was emptied. The guarantee does not cover them.
    pub lost_with_redis: Option<usize>,
    /// Dead letters of refused texts that were retried, and that were discarded.
    pub dead_letters: [usize; 2],
    /// Number of times that a follower's history was lost.
    pub resets: usize,
    /// Measurements.
    pub notes: Vec<String>,
    /// Every violation.
    pub findings: Vec<String>,
}

/// The headings of the columns, in two lines.
const HEADINGS: [[&str; 2]; 17] = [
    ["fault", ""],
    ["rounds", ""],
    ["answered", ""],
    ["mean-", "while"],
    ["retried /", "discarded"],
    ["lost", ""],
    ["wrong", "text"],
    ["dupli-", "cated"],
    ["given", "twice"],
    ["gaps", ""],
    ["index", "missing"],
    ["index", "dangling"],
    ["index", "stale"],
    ["counts", "wrong"],
    ["dead", "letters"],
    ["else", ""],
    ["s to settle", "mid / worst"],
];

impl Row {
    fn violations(&self) -> [usize; 11] {
        [
            self.lost,
            self.wrong,
            self.duplicated,
            self.twice,
            self.gaps,
            self.missing,
            self.dangling,
            self.stale,
            self.counts,
            self.dead,
            self.unexpected,
        ]
    }

    /// Tells whether there is no violation.
    pub fn is_clean(&self) -> bool {
        self.violations().iter().all(|count| *count == 0)
    }

    /// Counts a violation in a column.
    pub fn add(&mut self, column: fn(&mut Self) -> &mut usize, finding: String) {
        *column(self) += 1;
        self.findings.push(finding);
    }

    /// Records the time a round took to converge.
    pub fn converged(&mut self, time: Duration) {
        self.seconds_to_converge.push(time.as_secs_f64());
    }

    fn convergence_times(&self) -> String {
        let mut seconds = self.seconds_to_converge.clone();
        seconds.sort_by(f64::total_cmp);
        match seconds.last() {
            None => "-".into(),
            Some(worst) => format!("{:.1} / {worst:.1}", seconds[seconds.len() / 2]),
        }
    }

    fn cells(&self) -> Vec<String> {
        let first = [self.rounds, self.answered, self.during_fault];
        let first = first.map(|count| count.to_string());
        let [retried, discarded] = self.dead_letters;
        [self.fault.clone()]
            .into_iter()
            .chain(first)
            .chain([format!("{retried} / {discarded}")])
            .chain(self.violations().map(|count| count.to_string()))
            .chain([self.convergence_times()])
            .collect()
    }

    /// The violations, for the message of a failed trial.
    pub fn summary(&self) -> String {
        let more = self.findings.len().saturating_sub(SHOWN);
        let shown = self.findings.iter().take(SHOWN).cloned();
        let more = (more > 0).then(|| format!("… and {more} more"));
        let lines: Vec<_> = shown.chain(more).collect();
        lines.join("\n")
    }
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Keeps a row for the table, and appends it to `file`.
pub fn keep(row: Row, file: &Path) {
    let line = serde_json::to_string(&row).expect("numbers and strings");
    let mut file = fs::File::options()
        .append(true)
        .create(true)
        .open(file)
        .expect("the report can be written");
    writeln!(file, "{line}").expect("the report can be written");
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    rows.push(row);
}

/// Prints the table of all rows.
pub fn print() {
    let mut rows = std::mem::take(&mut *ROWS.lock().unwrap_or_else(PoisonError::into_inner));
    if rows.is_empty() {
        return;
    }
    rows.sort_by(|a, b| a.fault.cmp(&b.fault));
    let mut lines: Vec<Vec<String>> = [0, 1]
        .map(|line| HEADINGS.map(|head| head[line].to_owned()).to_vec())
        .to_vec();
    lines.extend(rows.iter().map(Row::cells));
    let widths: Vec<_> = (0..HEADINGS.len())
        .map(|column| {
            lines
                .iter()
                .map(|cells| cells[column].chars().count())
                .max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    println!();
    for cells in lines {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| {
                if at == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        println!("{}", padded.collect::<Vec<_>>().join("  "));
    }
    println!();
    for row in &rows {
        if let Some(lost) = row.lost_with_redis {
            println!(
                "{}: what Redis alone held when it was emptied, answered with success and lost with it: {lost} messages of {} requests",
                row.fault, row.answered
            );
            println!(
                "  Redis's documentation on what a crash of the machine costs: appendfsync always, nothing that was answered; \
                 everysec, one second of writes; no, what the system has not written yet, on Linux usually 30 seconds"
            );
        }
        if row.resets > 0 {
            println!(
                "{}: followers started again {} times, because history was lost",
                row.fault, row.resets
            );
        }
        for note in &row.notes {
            println!("{}: {note}", row.fault);
        }
    }
}
