//! A real reverse proxy before the program.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{Client, eventually, free_port};

/// Prefix under which [`Nginx`] serves the program, without the slash at its end.
pub const PREFIX: &str = "/chat-api";

/// An nginx that passes `/chat-api/` on to the program without that prefix, and `/` unchanged. Dropping it ends it.
pub struct Nginx {
    child: Child,
    client: Client,
    /// Holds the configuration, the log and temporary files.
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx before `upstream`, such as `http://127.0.0.1:3001` or `http://unix:/run/confab.sock`, with further
    /// directives such as `proxy_set_header`, and waits until it listens.
    pub async fn start(upstream: &str, directives: &str) -> Self {
        Self::start_on(free_port(), upstream, directives).await
    }

    /// Like [`Nginx::start`], on a given port.
    pub async fn start_on(port: u16, upstream: &str, directives: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().display();
        let configuration = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr;
             events {{ worker_connections 64; }}
             http {{
                 access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
                 fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
                 server {{
                     listen 127.0.0.1:{port};
                     listen [::1]:{port};
                     {directives}
                     location {PREFIX}/ {{ proxy_pass {upstream}{end}/; }}
                     location / {{ proxy_pass {upstream}; }}
                 }}
             }}",
            end = if upstream.contains("unix:") { ":" } else { "" },
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).expect("the folder takes files");
        let log = folder.path().join("log");
        let child = Command::new(program())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(folder.path().join("start.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the folder takes files"))
            .spawn()
            .expect("nginx can be started (`make nginx` installs it)");
        let nginx = Self {
            child,
            client: Client::new(port),
            _folder: folder,
        };
        eventually("nginx passes requests on", async || {
            match nginx.client.try_get("/up").await {
                Ok(response) if response.status < 500 => Ok(()),
                other => Err((other, fs::read_to_string(&log))),
            }
        })
        .await;
        nginx
    }

    /// A client of the proxy.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Debian installs it in a folder that the PATH of users lacks.
fn program() -> &'static str {
    let debian = "/usr/sbin/nginx";
    if Path::new(debian).exists() {
        debian
    } else {
        "nginx"
    }
}
