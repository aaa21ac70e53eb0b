//! Processes of the release binary. The log, at the default level, goes to a file.

use std::{
    fs::File,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    client, folder,
    requests::{Chat, RequestSpec},
};

/// Timeout of a start.
const START: Duration = Duration::from_secs(60);

/// Environment variables of a process.
pub type Settings = Vec<(&'static str, String)>;

/// A process that is killed when dropped.
pub struct Process {
    child: Child,
    /// The port of the process.
    pub port: u16,
    /// The time of its start.
    pub started: Instant,
}

impl Process {
    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts a program that takes its port from an argument or its environment; its output goes to a file.
    pub fn start(mut command: Command, port: u16) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // A few files in turn: a minute of load writes hundreds of megabytes.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 8;
        let log = File::create(folder().join(format!("process-{number}.log")))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self {
            child,
            port,
            started,
        })
    }

    /// Waits for the first valid response to a request; returns the time since the start.
    pub async fn responses(&mut self, spec: &RequestSpec) -> Result<Duration> {
        loop {
            match client::once(self.port, spec).await {
                Ok(_) => return Ok(self.started.elapsed()),
                Err(error) if self.started.elapsed() > START => return Err(error),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "ended with {status}; see the logs in {}",
                    folder().display()
                );
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends the process with SIGTERM and waits.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        tokio::task::block_in_place(|| self.child.wait())?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns a free port.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn command(settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONFAB_") {
            command.env_remove(name);
        }
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// Starts the server without waiting.
pub fn launch(settings: &[(&'static str, String)]) -> Result<Process> {
    let port = free_port()?;
    let mut command = command(settings);
    command
        .arg("serve")
        .env("CONFAB_SERVER__PORT", port.to_string())
        .env("CONFAB_ADMIN__PORT", free_port()?.to_string());
    Process::start(command, port)
}

/// Starts the server and waits until it is ready.
pub async fn serve(settings: &[(&'static str, String)]) -> Result<Process> {
    let mut process = launch(settings)?;
    process.responses(&get("/readyz")).await?;
    Ok(process)
}

/// Runs a command of the program.
pub fn run(settings: &[(&'static str, String)], arguments: &[&str]) -> Result<()> {
    let output = command(settings).args(arguments).output()?;
    if !output.status.success() {
        bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A GET of a path.
pub fn get(path: &str) -> RequestSpec {
    RequestSpec {
        method: "GET",
        path: path.into(),
        body: String::new(),
    }
}

/// Creates an application.
pub async fn create_application(port: u16) -> Result<String> {
    let spec = RequestSpec {
        method: "POST",
        path: "/application".into(),
        body: "{\"username\":\"bench\"}".into(),
    };
    let response: serde_json::Value = serde_json::from_str(&client::once(port, &spec).await?)?;
    let app = response["Application"].as_str();
    Ok(app.context("an application")?.to_owned())
}

/// Creates the next chat of an application.
pub async fn create_chat(port: u16, app: &str) -> Result<Chat> {
    let spec = RequestSpec {
        method: "POST",
        path: format!("/application/{app}/chat"),
        body: String::new(),
    };
    let response: serde_json::Value = serde_json::from_str(&client::once(port, &spec).await?)?;
    let number = response["Chat"].as_u64().context("a chat")?;
    Ok(Chat {
        app: app.into(),
        number,
    })
}
