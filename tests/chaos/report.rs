//! What came of each fault: a row of the table.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

/// How many findings of a row are shown.
const SHOWN: usize = 30;

/// One fault, over all its rounds.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Row {
    /// As the trial is named.
    pub fault: String,
    /// How often it was injected.
    pub rounds: usize,
    /// Requests answered with success.
    pub answered: usize,
    /// Those of them that were answered while the fault stood.
    pub meanwhile: usize,
    /// Answered with success, and not there: applications, chats and messages.
    pub lost: usize,
    /// Messages with a text that they should not have, or that one who wrote it did not read.
    pub wrong: usize,
    /// Texts in more than one row.
    pub duplicated: usize,
    /// Numbers answered for two creations.
    pub twice: usize,
    /// Numbers that nothing has, below one that something has.
    pub gaps: usize,
    /// Rows without their document.
    pub missing: usize,
    /// Documents without a row.
    pub dangling: usize,
    /// Documents with another text than their row.
    pub stale: usize,
    /// Counts that counting does not give.
    pub counts: usize,
    /// Jobs that ended as dead letters.
    pub dead: usize,
    /// Answers that nobody should get, and whatever else is wrong.
    pub strange: usize,
    /// From the end of the fault until all is done, for each round.
    pub rest_seconds: Vec<f64>,
    /// Answered with success, and lost with Redis, which alone held them: what the promise excepts.
    pub redis_alone: Option<usize>,
    /// Measurements.
    pub notes: Vec<String>,
    /// What is wrong, one by one.
    pub findings: Vec<String>,
}

/// The head of each column, in two lines.
const HEADS: [[&str; 2]; 16] = [
    ["fault", ""],
    ["rounds", ""],
    ["answered", ""],
    ["mean-", "while"],
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
    ["s to rest", "mid / worst"],
];

impl Row {
    fn wrongs(&self) -> [usize; 11] {
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
            self.strange,
        ]
    }

    /// Whether all promises were kept.
    pub fn is_clean(&self) -> bool {
        self.wrongs().iter().all(|count| *count == 0)
    }

    /// Adds something that is wrong to one of its columns.
    pub fn add(&mut self, column: fn(&mut Self) -> &mut usize, finding: String) {
        *column(self) += 1;
        self.findings.push(finding);
    }

    /// A round came to rest after that time.
    pub fn rested(&mut self, time: Duration) {
        self.rest_seconds.push(time.as_secs_f64());
    }

    fn rests(&self) -> String {
        let mut seconds = self.rest_seconds.clone();
        seconds.sort_by(f64::total_cmp);
        match seconds.last() {
            None => "-".into(),
            Some(worst) => format!("{:.1} / {worst:.1}", seconds[seconds.len() / 2]),
        }
    }

    fn cells(&self) -> Vec<String> {
        let first = [self.rounds, self.answered, self.meanwhile];
        let counts = first.into_iter().chain(self.wrongs());
        [self.fault.clone()]
            .into_iter()
            .chain(counts.map(|count| count.to_string()))
            .chain([self.rests()])
            .collect()
    }

    /// What is wrong, for the one who reads why the trial failed.
    pub fn complaint(&self) -> String {
        let more = self.findings.len().saturating_sub(SHOWN);
        let shown = self.findings.iter().take(SHOWN).cloned();
        let more = (more > 0).then(|| format!("… and {more} more"));
        let lines: Vec<_> = shown.chain(more).collect();
        lines.join("\n")
    }
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Keeps a row for the table, and as a line of `file`.
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
        .map(|line| HEADS.map(|head| head[line].to_owned()).to_vec())
        .to_vec();
    lines.extend(rows.iter().map(Row::cells));
    let widths: Vec<_> = (0..HEADS.len())
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
        if let Some(lost) = row.redis_alone {
            println!(
                "{}: what Redis alone held when it was emptied, answered with success and lost with it: {lost} messages of {} requests",
                row.fault, row.answered
            );
            println!(
                "  Redis's documentation on what a crash of the machine costs: appendfsync always, nothing that was answered; \
                 everysec, one second of writes; no, what the system has not written yet, on Linux usually 30 seconds"
            );
        }
        for note in &row.notes {
            println!("{}: {note}", row.fault);
        }
    }
}
