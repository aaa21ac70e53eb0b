//! One running server for each backend, and one in required mode, shared by the tests that need no settings, stores or
//! processes of their own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, OnceLock},
    thread,
};

use tokio::runtime::Runtime;

use super::{
    BackendKind, Client, Fixture, Process,
    fixture::{TEST_TIMEOUT, new_runtime},
};

/// A server that tests share. Each test creates its own applications and changes nothing else.
pub struct Server {
    /// As many processes as the backend supports.
    processes: Vec<Process>,
    fixture: Fixture,
    runtime: Runtime,
}

/// The shared servers that have been started: in open mode the one of the embedded backend and the one of the services, then
/// the same in required mode.
static SERVERS: [Mutex<Option<Arc<Server>>>; 4] = [const { Mutex::new(None) }; 4];

impl Server {
    /// A client of the first process; in required mode with an installation key.
    pub fn client(&self) -> Client {
        self.processes[0].renewed()
    }

    /// A client of each process.
    pub fn clients(&self) -> Vec<Client> {
        let clients = self.processes.iter();
        clients.map(|process| process.renewed()).collect()
    }

    /// The stores, which also hold what other tests write.
    pub fn stores(&self) -> &Fixture {
        &self.fixture
    }

    /// Returns the shared server of the backend. The first call starts it; it is removed when the test binary ends.
    fn shared(backend: BackendKind, is_guarded: bool) -> Arc<Self> {
        static REMOVAL: OnceLock<()> = OnceLock::new();
        REMOVAL.get_or_init(|| {
            // SAFETY: the function is called once, after all tests, and does not unwind.
            assert_eq!(unsafe { libc::atexit(remove_servers) }, 0);
        });
        let mut server = SERVERS[backend as usize + 2 * usize::from(is_guarded)]
            .lock()
            .expect("the shared server has started");
        server
            .get_or_insert_with(|| Arc::new(Self::start(backend, is_guarded)))
            .clone()
    }

    fn start(backend: BackendKind, is_guarded: bool) -> Self {
        let runtime = new_runtime();
        let fixture = runtime.block_on(Fixture::make(backend.location()));
        let settings = match is_guarded {
            true => fixture.guarded(),
            false => Vec::new(),
        };
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let processes = runtime.block_on(fixture.start_all_with(&settings));
        Self {
            processes,
            fixture,
            runtime,
        }
    }
}

/// Runs a test on the shared server of the backend.
pub fn run_on_server(backend: BackendKind, test: impl AsyncFnOnce(&Server)) {
    run_on_shared(backend, false, test);
}

/// Runs a test on the shared server of the backend in required mode.
pub fn run_on_guarded_server(backend: BackendKind, test: impl AsyncFnOnce(&Server)) {
    run_on_shared(backend, true, test);
}

fn run_on_shared(backend: BackendKind, is_guarded: bool, test: impl AsyncFnOnce(&Server)) {
    let server = Server::shared(backend, is_guarded);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        new_runtime().block_on(async {
            let in_time = tokio::time::timeout(TEST_TIMEOUT, test(&server)).await;
            assert!(in_time.is_ok(), "no end within {TEST_TIMEOUT:?}");
        });
    }));
    if let Err(panic) = outcome {
        server.processes.iter().for_each(Process::print_output);
        resume_unwind(panic);
    }
}

/// Ends the processes of the shared servers and removes their stores.
extern "C" fn remove_servers() {
    // The thread-local variables of the exiting thread, which a runtime needs, are gone already.
    let removal = thread::spawn(|| {
        for server in &SERVERS {
            let server = server.lock().ok().and_then(|mut server| server.take());
            if let Some(server) = server.and_then(Arc::into_inner) {
                drop(server.processes);
                let removed = server.runtime.block_on(server.fixture.remove());
                if let Err(error) = removed {
                    eprintln!("the stores of a shared server are not removed: {error}");
                }
            }
        }
    });
    if removal.join().is_err() {
        eprintln!("the stores of a shared server are not removed");
    }
}
