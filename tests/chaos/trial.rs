//! One run of a fault: stores, processes, a load, and the row of the report.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng};

use crate::{
    compare, convergence, dead_letters,
    history::{DurableWrites, Tally},
    load::{ClientPool, Load, LoadOptions, THINK_TIME},
    plan,
    report::Row,
    support::{Client, CommandOutput, Fixture, Process},
};

/// Faults that may lose a part of the history, so that followers must start again.
const HISTORY_LOST: [&str; 3] = ["redis_emptied", "redis_restored", "redis_fail"];

/// Settings of every process. Leases are short, but a process on a busy machine can still extend them in time. Calls to the
/// stores have the timeout that they have by default. The log level shows which jobs were recovered.
const SETTINGS: [(&str, &str); 5] = [
    ("CONFAB_WORKERS__LEASE_MS", "5000"),
    ("CONFAB_SERVICES__TIMEOUT_MS", "3000"),
    ("CONFAB_WORKERS__RETRY_MS", "100"),
    ("CONFAB_WORKERS__RETRY_MAX_MS", "1000"),
    ("CONFAB_LOG__LEVEL", "warn"),
];

/// A trial; see the module.
pub struct Trial<'a> {
    /// The stores of the trial.
    pub fixture: &'a Fixture,
    /// Decides sizes and times.
    pub rng: StdRng,
    /// The running processes.
    pub processes: Vec<Process>,
    /// Additional settings of the processes.
    pub settings: Vec<(&'static str, String)>,
    /// True if the fault may damage the index, so that the trial has converged only after its repair.
    pub index_is_repaired: bool,
    /// The command that enters the namespace of the process, if the file is only visible there.
    pub command_prefix: Vec<String>,
    /// The folder of that file as seen from outside the namespace. It is copied to the folder of the fixture.
    pub mounted_folder: Option<PathBuf>,
    pool: Arc<ClientPool>,
    row: Arc<Mutex<Row>>,
    fault: String,
    injected: Option<Tally>,
    cleared: Option<Instant>,
}

impl<'a> Trial<'a> {
    /// Creates the trial of the fault that `row` names.
    pub fn new(fixture: &'a Fixture, row: Arc<Mutex<Row>>) -> Self {
        let fault = lock(&row).fault.clone();
        Self {
            fixture,
            rng: plan::rng(&fault),
            processes: Vec::new(),
            settings: Vec::new(),
            index_is_repaired: false,
            command_prefix: Vec::new(),
            mounted_folder: None,
            pool: Arc::default(),
            row,
            fault,
            injected: None,
            cleared: None,
        }
    }

    /// Locks the row.
    pub fn row(&self) -> MutexGuard<'_, Row> {
        lock(&self.row)
    }

    /// Adds a note to the row.
    pub fn note(&self, note: String) {
        self.row().notes.push(note);
    }

    /// Starts a number of processes.
    pub async fn start(&mut self, processes: usize) {
        for _ in 0..processes {
            let process = self.process(&[]).await;
            self.processes.push(process);
        }
        self.update_pool();
    }

    /// Starts a process with additional settings, and waits until it answers.
    pub async fn process(&self, further: &[(&str, &str)]) -> Process {
        self.fixture.spawn(&self.settings(further)).await
    }

    /// The settings of a process.
    pub fn settings<'s>(&'s self, further: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
        let own = self.settings.iter().map(|(name, value)| (*name, &**value));
        let all = SETTINGS.into_iter().chain(own);
        all.chain(further.iter().copied()).collect()
    }

    /// Directs the load to the running processes.
    pub fn update_pool(&self) {
        let clients = self.processes.iter();
        let clients = clients.map(|process| [process.client(), process.admin().clone()]);
        self.pool.set(clients.collect());
    }

    /// The index of a random process.
    pub fn random_process(&mut self) -> usize {
        self.rng.random_range(0..self.processes.len())
    }

    /// Kills a process and starts a new one, which becomes the last in the list.
    pub async fn replace(&mut self, index: usize) {
        self.replace_with(index, &[]).await;
    }

    /// Like [`Self::replace`], with additional settings for the new process.
    pub async fn replace_with(&mut self, index: usize, further: &[(&str, &str)]) {
        self.processes.remove(index).kill();
        let process = self.process(further).await;
        self.processes.push(process);
        self.update_pool();
    }

    /// Like [`Self::replace_with`], for a process that may exit before it answers.
    pub async fn replace_with_failing(&mut self, index: usize, further: &[(&str, &str)]) {
        self.processes.remove(index).kill();
        let mut process = self.fixture.launch(&["serve"], &self.settings(further));
        process.wait_until_up().await;
        self.processes.push(process);
        self.update_pool();
    }

    /// A client of the first process.
    pub fn api(&self) -> Client {
        self.processes[0].client()
    }

    /// Runs a command of the program on the fixture.
    pub async fn confab(&self, arguments: &[&str]) -> CommandOutput {
        let wrapper: Vec<_> = self.command_prefix.iter().map(|word| &**word).collect();
        let settings = self.settings(&[]);
        self.fixture
            .confab_wrapped(&wrapper, arguments, &settings)
            .await
    }

    /// Copies a file that only its process can see to the folder of the fixture. The system must have converged.
    pub fn fetch_file(&self) {
        let Some(far) = &self.mounted_folder else {
            return;
        };
        let file = self.fixture.file();
        let near = file.parent().expect("a folder");
        let name = file.file_name().and_then(OsStr::to_str).expect("UTF-8");
        for end in ["", "-wal", "-shm"] {
            let (here, there) = (
                near.join(format!("{name}{end}")),
                far.join(format!("{name}{end}")),
            );
            fs::remove_file(&here).ok();
            // SQLite recreates the third file from the second.
            if end != "-shm" && there.exists() {
                fs::copy(there, here).expect("a copy");
            }
        }
    }

    /// Begins a round: starts the load and waits until requests succeed. In the short form the clients pause between requests,
    /// so that a slow machine can run several trials at once.
    pub async fn load(&mut self) -> Load {
        let pause = if plan::is_full() {
            Duration::ZERO
        } else {
            THINK_TIME
        };
        self.load_with(pause).await
    }

    /// Like [`Self::load`], with clients that wait up to `think_time` between their requests.
    pub async fn load_with(&mut self, think_time: Duration) -> Load {
        self.row().rounds += 1;
        // A file that only its process can see takes no triggers.
        let with_refused = self.mounted_folder.is_none();
        if with_refused && self.row().rounds == 1 {
            // The tables exist by then.
            self.processes[0].wait_until_ready().await;
            dead_letters::refuse_texts(self.fixture).await;
        }
        let part = format!("{} {}", self.fault, self.row().rounds);
        let options = LoadOptions {
            think_time,
            with_refused,
        };
        let load = Load::start(&self.pool, &part, options).await;
        // A random number, large enough for batches to be in flight.
        load.wait_for_successes(self.rng.random_range(100..300))
            .await;
        load
    }

    /// Marks the begin of the fault.
    pub fn inject(&mut self, load: &Load) {
        self.injected = Some(load.history.tally());
    }

    /// Marks the end of the fault.
    pub fn clear(&mut self, load: &Load) {
        if let Some(injected) = self.injected.take() {
            self.row().during_fault += load.history.tally().since(&injected).answered();
        }
        self.cleared = Some(Instant::now());
    }

    /// Ends a round: a few more requests, then waits until the system has converged, discards the dead letters of refused texts,
    /// waits again, then compares everything.
    pub async fn finish_round(&mut self, load: Load) {
        self.finish_round_with(load, &DurableWrites::default())
            .await;
    }

    /// Like [`Self::finish_round`], for faults that may lose acknowledged writes.
    pub async fn finish_round_with(&mut self, load: Load, durable: &DurableWrites) {
        load.wait_for_successes(50).await;
        let load = load.pause().await;
        let cleared = self.cleared.take().unwrap_or_else(Instant::now);
        let mut converged = convergence::wait(self).await;
        if converged.is_ok() {
            self.row().converged(cleared.elapsed());
            dead_letters::discard_all(self.processes[0].admin(), &load.history).await;
            converged = convergence::wait(self).await;
        }
        if let Err(left) = converged {
            let finding = format!("not converged after {:?}: {left}", convergence::TIMEOUT);
            self.row().add(|row| &mut row.unexpected, finding);
        }
        let (history, findings) = load.end().await;
        let may_lose = HISTORY_LOST.iter().any(|fault| self.fault.contains(fault));
        {
            let mut row = self.row();
            row.answered += history.tally.answered();
            row.dead_letters[0] += history.retried;
            row.dead_letters[1] += history.discarded;
            row.resets += findings.resets;
            for finding in findings.unexpected {
                row.add(|row| &mut row.unexpected, finding);
            }
            if findings.resets > 0 && !may_lose {
                let finding = format!("{} resets, but no history was lost", findings.resets);
                row.add(|row| &mut row.unexpected, finding);
            }
        }
        compare::all(self, &history, durable).await;
        let row = self.row();
        assert!(row.is_clean(), "round {}:\n{}", row.rounds, row.summary());
    }
}

fn lock(row: &Arc<Mutex<Row>>) -> MutexGuard<'_, Row> {
    row.lock().unwrap_or_else(PoisonError::into_inner)
}
