//! Progress of long commands: a bar on a terminal, otherwise a line every 10 seconds. It goes to standard error;
//! standard output contains only the result, for programs to parse.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::complain;
use crate::maintenance::Progress;

/// Time between two lines if there is no terminal.
const LINES: Duration = Duration::from_secs(10);

const BAR: &str =
    "{bar:30} {percent:>3} %  {human_pos} of {human_len} {msg}, {per_sec}, {eta} left";

/// Progress meter.
pub struct Meter {
    /// Unit of the progress.
    what: &'static str,
    kind: Kind,
    /// Highest progress so far, and when it was reached.
    furthest: Mutex<(u64, Instant)>,
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
        let furthest = Mutex::new((0, Instant::now()));
        Self {
            what,
            kind,
            furthest,
        }
    }

    /// Shows where it is.
    pub fn show(&self, Progress { done, total }: Progress) {
        {
            let mut furthest = lock(&self.furthest);
            if done > furthest.0 {
                *furthest = (done, Instant::now());
            }
        }
        // More may have been written since they were counted.
        let total = total.max(done);
        match &self.kind {
            Kind::Silent => {}
            Kind::Bar(bar, begun) => {
                bar.set_length(total);
                bar.set_position(done);
                let mut begun = lock(begun);
                if !*begun {
                    // What an earlier run did must not count for this one's speed.
                    bar.reset_eta();
                    *begun = true;
                }
            }
            Kind::Lines(last) => {
                let mut last = lock(last);
                if last.elapsed() >= LINES {
                    *last = Instant::now();
                    complain(&format!("{done} of {total} {}", self.what));
                }
            }
        }
    }

    /// Time of the last progress, or of the start if there was none.
    pub fn last_progress(&self) -> Instant {
        lock(&self.furthest).1
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Kind::Bar(bar, _) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

/// Locks a mutex. No code panics in an inconsistent state under these locks, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_through_once_more_is_no_progress() {
        let meter = Meter::new("messages", true);
        let begun = meter.last_progress();
        let show = |done| meter.show(Progress { done, total: 10 });
        show(0);
        assert_eq!(meter.last_progress(), begun);
        show(5);
        let came = meter.last_progress();
        assert!(came > begun);
        show(2);
        show(5);
        assert_eq!(meter.last_progress(), came);
        show(6);
        assert!(meter.last_progress() > came);
    }
}
