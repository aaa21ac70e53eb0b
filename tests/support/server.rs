//! One running server for each backend, shared by the tests that need no settings, stores or processes of their own.

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

/// The shared servers that have been started: the one of the embedded backend, and the one of the services.
static SERVERS: [Mutex<Option<Arc<Server>>>; 2] = [Mutex::new(None), Mutex::new(None)];

impl Server {
    /// A client of the first process.
    pub fn client(&self) -> Client {
        Client::new(self.processes[0].port)
    }

    /// A client of each process.
    pub fn clients(&self) -> Vec<Client> {
        let ports = self.processes.iter().map(|process| process.port);
        ports.map(Client::new).collect()
    }

    /// The stores, which also hold what other tests write.
    pub fn stores(&self) -> &Fixture {
        &self.fixture
    }

    /// Returns the shared server of the backend. The first call starts it; it is removed when the test binary ends.
    fn shared(backend: BackendKind) -> Arc<Self> {
        static REMOVAL: OnceLock<()> = OnceLock::new();
        REMOVAL.get_or_init(|| {
            // SAFETY: the function is called once, after all tests, and does not unwind.
            assert_eq!(unsafe { libc::atexit(remove_servers) }, 0);
        });
        let mut server = SERVERS[backend as usize]
            .lock()
            .expect("the shared server has started");
        server
            .get_or_insert_with(|| Arc::new(Self::start(backend)))
            .clone()
    }

    fn start(backend: BackendKind) -> Self {
        let runtime = new_runtime();
        let fixture = runtime.block_on(Fixture::make(backend.location()));
        let processes = runtime.block_on(fixture.start_all());
        Self {
            processes,
            fixture,
            runtime,
        }
    }
}

/// Runs a test on the shared server of the backend.
pub fn run_on_server(backend: BackendKind, test: impl AsyncFnOnce(&Server)) {
    let server = Server::shared(backend);
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
