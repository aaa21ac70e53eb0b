//! Where a fault is played through: a site, processes on it, a load, and the row that is filled in.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng};

use crate::{
    compare,
    ledger::{Kept, Tally},
    load::{Front, Load},
    plan,
    report::Row,
    rest,
    support::{Client, Finished, Process, Site},
};

/// What every process here is told. The level shows who took back what from whom.
const SETTINGS: [(&str, &str); 4] = [
    ("CONFAB_WORKERS__LEASE_MS", "2000"),
    ("CONFAB_WORKERS__RETRY_MS", "100"),
    ("CONFAB_WORKERS__RETRY_MAX_MS", "1000"),
    ("CONFAB_LOG__LEVEL", "warn"),
];

/// See the module.
pub struct Ground<'a> {
    /// The stores.
    pub site: &'a Site,
    /// Decides moments.
    pub dice: StdRng,
    /// The processes.
    pub fleet: Vec<Process>,
    /// Further settings for them.
    pub settings: Vec<(&'static str, String)>,
    /// Whether the index may be found damaged, and is only at rest once it has been mended.
    pub index_is_mended: bool,
    /// What commands are run through, if the file can only be seen from where its process is.
    pub inside: Vec<String>,
    /// The folder of that file as seen from here, to be copied to where the site has it.
    pub far_folder: Option<PathBuf>,
    front: Arc<Front>,
    row: Arc<Mutex<Row>>,
    fault: String,
    struck: Option<Tally>,
    healed: Option<Instant>,
}

impl<'a> Ground<'a> {
    /// On that site, for that fault.
    pub fn new(site: &'a Site, row: Arc<Mutex<Row>>) -> Self {
        let fault = lock(&row).fault.clone();
        Self {
            site,
            dice: plan::dice(&fault),
            fleet: Vec::new(),
            settings: Vec::new(),
            index_is_mended: false,
            inside: Vec::new(),
            far_folder: None,
            front: Arc::default(),
            row,
            fault,
            struck: None,
            healed: None,
        }
    }

    /// The row to be filled in.
    pub fn row(&self) -> MutexGuard<'_, Row> {
        lock(&self.row)
    }

    /// Something beside the numbers.
    pub fn note(&self, note: String) {
        self.row().notes.push(note);
    }

    /// Starts so many processes side by side.
    pub async fn start(&mut self, processes: usize) {
        for _ in 0..processes {
            let process = self.process(&[]).await;
            self.fleet.push(process);
        }
        self.announce();
    }

    /// Starts a process, with further settings, and waits until it answers.
    pub async fn process(&self, further: &[(&str, &str)]) -> Process {
        self.site.spawn(&self.settings(further)).await
    }

    /// What a process is told.
    pub fn settings<'s>(&'s self, further: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
        let own = self.settings.iter().map(|(name, value)| (*name, &**value));
        let all = SETTINGS.into_iter().chain(own);
        all.chain(further.iter().copied()).collect()
    }

    /// Leads the load to the processes that there are.
    pub fn announce(&self) {
        self.front
            .set(self.fleet.iter().map(Process::client).collect());
    }

    /// One of the processes.
    pub fn victim(&mut self) -> usize {
        self.dice.random_range(0..self.fleet.len())
    }

    /// Puts a new process in the place of that one, which is killed if it still runs. The new one is the last.
    pub async fn replace(&mut self, index: usize) {
        self.replace_with(index, &[]).await;
    }

    /// As [`Self::replace`], with further settings for the new one.
    pub async fn replace_with(&mut self, index: usize, further: &[(&str, &str)]) {
        self.fleet.remove(index).kill();
        let process = self.process(further).await;
        self.fleet.push(process);
        self.announce();
    }

    /// As [`Self::replace_with`], for a process that may die before it answers anything.
    pub async fn replace_with_mortal(&mut self, index: usize, further: &[(&str, &str)]) {
        self.fleet.remove(index).kill();
        let mut process = self.site.launch(&["serve"], &self.settings(further));
        process.comes_up().await;
        self.fleet.push(process);
        self.announce();
    }

    /// A client of one of the processes.
    pub fn api(&self) -> Client {
        self.fleet[0].client()
    }

    /// Runs a command of the program on the site.
    pub async fn confab(&self, arguments: &[&str]) -> Finished {
        let through: Vec<_> = self.inside.iter().map(|word| &**word).collect();
        let settings = self.settings(&[]);
        self.site
            .confab_through(&through, arguments, &settings)
            .await
    }

    /// Brings a file that only its process can see to where the site has it. All must be at rest.
    pub fn fetch_file(&self) {
        let Some(far) = &self.far_folder else {
            return;
        };
        let file = self.site.file();
        let near = file.parent().expect("a folder");
        let name = file.file_name().and_then(OsStr::to_str).expect("UTF-8");
        for end in ["", "-wal", "-shm"] {
            let (here, there) = (
                near.join(format!("{name}{end}")),
                far.join(format!("{name}{end}")),
            );
            fs::remove_file(&here).ok();
            // The third is made from the second.
            if end != "-shm" && there.exists() {
                fs::copy(there, here).expect("a copy");
            }
        }
    }

    /// Begins a round: a load, which flows already.
    pub async fn load(&mut self) -> Load {
        self.load_with(Duration::ZERO).await
    }

    /// As [`Self::load`], with clients that rest up to `pace` between their requests.
    pub async fn load_with(&mut self, pace: Duration) -> Load {
        self.row().rounds += 1;
        let part = format!("{} {}", self.fault, self.row().rounds);
        let load = Load::start(&self.front, &part, pace).await;
        // Never the same, and long enough for batches to be in hand.
        load.flows(self.dice.random_range(100..300)).await;
        load
    }

    /// The fault begins.
    pub fn strike(&mut self, load: &Load) {
        self.struck = Some(load.ledger.tally());
    }

    /// The fault is over.
    pub fn heal(&mut self, load: &Load) {
        if let Some(struck) = self.struck.take() {
            self.row().meanwhile += load.ledger.tally().since(&struck).answered();
        }
        self.healed = Some(Instant::now());
    }

    /// Ends a round: a little more load, then rest, then everything is compared.
    pub async fn settle(&mut self, load: Load) {
        self.settle_with(load, &Kept::default()).await;
    }

    /// As [`Self::settle`], where not everything that was answered needs to have been kept.
    pub async fn settle_with(&mut self, load: Load, kept: &Kept) {
        load.flows(50).await;
        let book = load.end().await;
        let healed = self.healed.take().unwrap_or_else(Instant::now);
        self.row().answered += book.tally.answered();
        match rest::come(self).await {
            Ok(()) => self.row().rested(healed.elapsed()),
            Err(left) => {
                let finding = format!("not at rest after {:?}: {left}", rest::PATIENCE);
                self.row().add(|row| &mut row.strange, finding);
            }
        }
        compare::all(self, &book, kept).await;
        let row = self.row();
        assert!(row.is_clean(), "round {}:\n{}", row.rounds, row.complaint());
    }
}

fn lock(row: &Arc<Mutex<Row>>) -> MutexGuard<'_, Row> {
    row.lock().unwrap_or_else(PoisonError::into_inner)
}
