//! The real binary, as an operator runs it.

use std::{
    fs::File,
    net::TcpListener,
    ops::Deref,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Client, Site, eventually};

/// How long a start may take until the process answers at all.
const START: Duration = Duration::from_secs(120);

/// A port that nobody listens on. Ports are taken from below the range that the system gives to outgoing connections,
/// each once, so that the port is most likely still free when the program binds it.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run side by side start at different places.
    let start = std::process::id().wrapping_mul(101) % u32::from(COUNT);
    (0..COUNT)
        .map(|_| {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            FIRST + u16::try_from((start + step) % u32::from(COUNT)).expect("less than COUNT")
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of 20,000 ports is free")
}

/// A running `confab serve`. It can be talked to as to a [`Client`], is killed with SIGKILL when dropped, and shows what
/// it wrote if the test fails.
pub struct Process {
    child: Child,
    client: Client,
    admin: Client,
    log: PathBuf,
}

impl Deref for Process {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Process {
    /// A client of its admin listener.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// A client of this process, for a task of its own.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits until the process takes writes: until an update of a message that does not exist, which changes nothing,
    /// is answered as such.
    pub async fn ready(&self) {
        let body = json!({"message": "is there anybody out there?"});
        eventually("the process takes writes", async || {
            let answer = self
                .put("/application/00000000/chat/1/message/1", &body)
                .await;
            if answer.status == 404 {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
    }

    /// SIGKILL, and the end of the process.
    pub fn kill(mut self) {
        self.end();
    }

    /// Sends it a signal: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.as_ref().is_ok_and(ExitStatus::success), "{sent:?}");
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// What it wrote so far to its standard output and error.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log is there")).into_owned()
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Waits until `GET /up` answers; false if the process ends before.
    pub async fn comes_up(&mut self) -> bool {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(answer) = self.client.try_get("/up").await {
                answer.expect_status(200);
                return true;
            }
            if self.child.try_wait().expect("a child of ours").is_some() {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "GET /up is not answered {START:?} after the start"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            println!(
                "--- what confab on port {} wrote:\n{}---",
                self.client.port,
                self.output()
            );
        }
    }
}

/// A command that has run to its end.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Finished {
    /// Fails unless the command ended with this code.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl Site {
    /// Starts the program and waits until it takes writes.
    pub async fn start(&self) -> Process {
        self.start_with(&[]).await
    }

    /// As [`Site::start`], with further settings as environment variables.
    pub async fn start_with(&self, settings: &[(&str, &str)]) -> Process {
        let process = self.spawn(settings).await;
        process.ready().await;
        process
    }

    /// Starts as many processes side by side as the backing allows.
    pub async fn start_all(&self) -> Vec<Process> {
        self.start_all_with(&[]).await
    }

    /// As [`Site::start_all`], with further settings as environment variables.
    pub async fn start_all_with(&self, settings: &[(&str, &str)]) -> Vec<Process> {
        let mut processes = Vec::new();
        for _ in 0..self.processes() {
            processes.push(self.start_with(settings).await);
        }
        processes
    }

    /// Starts the program and waits only until it answers `GET /up`.
    pub async fn spawn(&self, settings: &[(&str, &str)]) -> Process {
        self.spawn_as(&["serve"], settings).await
    }

    /// As [`Site::spawn`], with a command line of the test's own.
    pub async fn spawn_as(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Process {
        for _ in 0..5 {
            let mut process = self.launch(arguments, settings);
            if process.comes_up().await {
                return process;
            }
            // Somebody took the port in the meantime; anything else is for the test to fail on.
            let output = process.output();
            assert!(
                output.contains("in use"),
                "confab ended at its start:\n{output}"
            );
        }
        panic!("five ports in a row were taken by others");
    }

    /// Starts the program on a free port and waits for nothing.
    pub fn launch(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Process {
        self.launch_through(&[], arguments, settings)
    }

    /// As [`Site::launch`], by another program that becomes this one: `through`, then the binary and its arguments.
    pub fn launch_through(
        &self,
        through: &[&str],
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Process {
        let (port, admin) = (free_port(), free_port());
        let log = self.folder().join(format!("confab-{port}.log"));
        let output = File::create(&log).expect("the test's folder takes files");
        let child = self
            .command(through, arguments, settings)
            .env("CONFAB_SERVER__PORT", port.to_string())
            .env("CONFAB_ADMIN__PORT", admin.to_string())
            .stdout(output.try_clone().expect("a file can be shared"))
            .stderr(output)
            .spawn()
            .expect("the binary can be started");
        Process {
            child,
            client: Client::new(port),
            admin: Client::new(admin),
            log,
        }
    }

    /// Runs a command of the program on this site to its end.
    pub async fn confab(&self, arguments: &[&str]) -> Finished {
        self.confab_with(arguments, &[]).await
    }

    /// As [`Site::confab`], with further settings as environment variables.
    pub async fn confab_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
        self.confab_through(&[], arguments, settings).await
    }

    /// As [`Site::confab_with`], by another program that becomes this one.
    pub async fn confab_through(
        &self,
        through: &[&str],
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Finished {
        let child = self
            .command(through, arguments, settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let id = child.id();
        let mut waiting = tokio::task::spawn_blocking(|| child.wait_with_output());
        let Ok(ended) = tokio::time::timeout(START, &mut waiting).await else {
            let kill = Command::new("kill").args(["-9", &id.to_string()]).status();
            let output = waiting.await.expect("waiting does not panic");
            panic!("confab {arguments:?} runs on after {START:?} (kill: {kill:?}): {output:#?}");
        };
        let output = ended
            .expect("waiting does not panic")
            .expect("a child of ours");
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The program with this site's settings and no other.
    fn command(&self, through: &[&str], arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut line = through
            .iter()
            .copied()
            .chain([env!("CARGO_BIN_EXE_confab")]);
        let mut command = Command::new(line.next().expect("the binary, at the least"));
        command.args(line);
        for (name, _) in std::env::vars_os() {
            let inherited = name.to_string_lossy();
            if inherited.starts_with("CONFAB_") || inherited == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .env("CONFAB_LOG__LEVEL", "warn")
            .env("CONFAB_LOG__FORMAT", "text")
            // Ports are bound before anything else, and tests run side by side.
            .env("CONFAB_SERVER__PORT", "0")
            .env("CONFAB_ADMIN__PORT", "0")
            .envs(self.settings())
            .envs(settings.iter().copied());
        command
    }
}
