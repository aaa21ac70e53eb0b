//! Processes of the real binary.

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

use super::{Client, Fixture, credentials::FIRST_KEY_FILE, eventually};

/// Timeout of a start, until the process answers.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Returns a free port. Ports are below the system's range for outgoing connections and each is returned once, so that
/// it is very likely still free when the program binds it.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run concurrently start at different ports.
    let start = std::process::id().wrapping_mul(101) % u32::from(COUNT);
    (0..COUNT)
        .map(|_| {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            FIRST + u16::try_from((start + step) % u32::from(COUNT)).expect("less than COUNT")
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of 20,000 ports is free")
}

/// A running `confab serve`. Dereferences to a [`Client`] of it. Dropping it kills the process with SIGKILL, and prints
/// its output if the test failed.
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

    /// A client that another task can own.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits until the process accepts writes: until an update of a message that does not exist, which changes nothing,
    /// returns 404.
    pub async fn wait_until_ready(&self) {
        let body = json!({"message": "is there anybody out there?"});
        eventually("the process accepts writes", async || {
            let response = self
                .put("/application/00000000/chat/1/message/1", &body)
                .await;
            if response.status == 404 {
                Ok(())
            } else {
                Err(response)
            }
        })
        .await;
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        self.end();
    }

    /// Sends a signal: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.as_ref().is_ok_and(ExitStatus::success), "{sent:?}");
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child process")
    }

    /// The standard output and error so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log is there")).into_owned()
    }

    /// Prints the output so far, for a test that failed.
    pub(super) fn print_output(&self) {
        println!(
            "--- what confab on port {} wrote:\n{}---",
            self.client.port,
            self.output()
        );
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Waits until `GET /up` is answered; returns false if the process ends before.
    pub async fn wait_until_up(&mut self) -> bool {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(response) = self.client.try_get("/up").await {
                response.expect_status(200);
                return true;
            }
            if self.child.try_wait().expect("a child process").is_some() {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "GET /up is not answered {START_TIMEOUT:?} after the start"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            self.print_output();
        }
    }
}

/// The result of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

impl CommandOutput {
    /// Fails unless the command ended with this code.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl Fixture {
    /// Starts the program and waits until it accepts writes.
    pub async fn start(&self) -> Process {
        self.start_with(&[]).await
    }

    /// Like [`Fixture::start`], with additional settings as environment variables.
    pub async fn start_with(&self, settings: &[(&str, &str)]) -> Process {
        let process = self.spawn(settings).await;
        process.wait_until_ready().await;
        process
    }

    /// Starts as many concurrent processes as the backend supports.
    pub async fn start_all(&self) -> Vec<Process> {
        self.start_all_with(&[]).await
    }

    /// Like [`Fixture::start_all`], with additional settings.
    pub async fn start_all_with(&self, settings: &[(&str, &str)]) -> Vec<Process> {
        let mut processes = Vec::new();
        for _ in 0..self.process_count() {
            processes.push(self.start_with(settings).await);
        }
        processes
    }

    /// Starts the program and waits until `GET /up` is answered.
    pub async fn spawn(&self, settings: &[(&str, &str)]) -> Process {
        self.spawn_as(&["serve"], settings).await
    }

    /// Like [`Fixture::spawn`], with other arguments.
    pub async fn spawn_as(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Process {
        for _ in 0..5 {
            let mut process = self.launch(arguments, settings);
            if process.wait_until_up().await {
                return process;
            }
            // Another process took the port. Any other output fails the test.
            let output = process.output();
            assert!(
                output.contains("in use"),
                "confab ended at its start:\n{output}"
            );
        }
        panic!("five ports in a row were taken by others");
    }

    /// Starts the program on a free port without waiting.
    pub fn launch(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Process {
        self.launch_wrapped(&[], arguments, settings)
    }

    /// Like [`Fixture::launch`], through a wrapper command that executes the binary.
    pub fn launch_wrapped(
        &self,
        wrapper: &[&str],
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Process {
        let (port, admin) = (free_port(), free_port());
        let log = self.folder().join(format!("confab-{port}.log"));
        let output = File::create(&log).expect("the test's folder takes files");
        let child = self
            .command(wrapper, arguments, settings)
            .env("CONFAB_SERVER__PORT", port.to_string())
            .env("CONFAB_ADMIN__PORT", admin.to_string())
            .stdout(output.try_clone().expect("a file can be shared"))
            .stderr(output)
            .spawn()
            .expect("the binary can be started");
        let client = Client::new(port);
        let key_file = settings
            .iter()
            .find(|(name, _)| *name == FIRST_KEY_FILE)
            .and_then(|(_, file)| std::fs::read_to_string(file).ok());
        Process {
            child,
            client: match key_file {
                Some(key) => client.with_credential(key.trim()),
                None => client,
            },
            admin: Client::new(admin),
            log,
        }
    }

    /// Runs a command of the program to its end.
    pub async fn confab(&self, arguments: &[&str]) -> CommandOutput {
        self.confab_with(arguments, &[]).await
    }

    /// Like [`Fixture::confab`], with additional settings.
    pub async fn confab_with(
        &self,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> CommandOutput {
        self.confab_wrapped(&[], arguments, settings).await
    }

    /// Like [`Fixture::confab_with`], through a wrapper command that executes the binary.
    pub async fn confab_wrapped(
        &self,
        wrapper: &[&str],
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> CommandOutput {
        let mut command = self.command(wrapper, arguments, settings);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::finish(command).await
    }

    /// Like [`Fixture::confab`], with other outputs. What they take is not in the result.
    pub async fn confab_into(
        &self,
        arguments: &[&str],
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> CommandOutput {
        let mut command = self.command(&[], arguments, &[]);
        command.stdout(stdout).stderr(stderr);
        Self::finish(command).await
    }

    async fn finish(mut command: Command) -> CommandOutput {
        let child = command.spawn().expect("the binary can be started");
        // The outputs are closed here.
        let line = format!("{command:?}");
        drop(command);
        let id = child.id();
        let mut waiting = tokio::task::spawn_blocking(|| child.wait_with_output());
        let Ok(ended) = tokio::time::timeout(START_TIMEOUT, &mut waiting).await else {
            let kill = Command::new("kill").args(["-9", &id.to_string()]).status();
            let output = waiting.await.expect("waiting does not panic");
            panic!("{line} runs on after {START_TIMEOUT:?} (kill: {kill:?}): {output:#?}");
        };
        let output = ended
            .expect("waiting does not panic")
            .expect("a child process");
        CommandOutput {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command that runs the program with only the settings of this fixture.
    fn command(&self, wrapper: &[&str], arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut line = wrapper
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
            // Much longer than a call takes, so that a slow machine does not fail.
            .env("CONFAB_SERVICES__TIMEOUT_MS", "15000")
            .envs(self.settings())
            .envs(settings.iter().copied());
        command
    }
}
