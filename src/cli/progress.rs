//! Showing how far something long has come: a bar on a terminal, else a line now and then. It goes to standard error, so
//! that what is printed can be read by a program.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::service::progress::Progress;

/// How often a line is written where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

const BAR: &str =
    "{bar:30} {percent:>3} %  {human_pos} of {human_len} {msg}, {per_sec}, {eta} left";

/// Shows one thing's progress.
pub struct Meter {
    /// What is counted.
    what: &'static str,
    kind: Kind,
}

enum Kind {
    /// With whether it has been begun.
    Bar(ProgressBar, Mutex<bool>),
    /// With when the last was written.
    Lines(Mutex<Instant>),
    Silent,
}

impl Meter {
    /// Counts `what`; `silent` shows nothing.
    pub fn new(what: &'static str, silent: bool) -> Self {
        let kind = if silent {
            Kind::Silent
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(BAR);
            let bar = ProgressBar::new(0)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_message(what);
            Kind::Bar(bar, Mutex::new(false))
        } else {
            Kind::Lines(Mutex::new(Instant::now()))
        };
        Self { what, kind }
    }

    /// Shows where it is.
    pub fn show(&self, Progress { done, total }: Progress) {
        // More may have been written since they were counted.
        let total = total.max(done);
        match &self.kind {
            Kind::Silent => {}
            Kind::Bar(bar, begun) => {
                bar.set_length(total);
                bar.set_position(done);
                let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
                if !*begun {
                    // What an earlier run did must not count for this one's speed.
                    bar.reset_eta();
                    *begun = true;
                }
            }
            Kind::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= LINES {
                    *last = Instant::now();
                    eprintln!("{done} of {total} {}", self.what);
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Kind::Bar(bar, _) = &self.kind {
            bar.finish_and_clear();
        }
    }
}
