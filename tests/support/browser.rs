//! A headless browser, driven by the DevTools protocol: <https://chromedevtools.github.io/devtools-protocol/>.

use std::{
    fmt::Display,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// Timeout of a start, a response, or a condition.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A browser with one page. Dropping it ends the browser.
pub struct Browser {
    child: Child,
    /// Holds the profile and the log.
    folder: TempDir,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    sent: u64,
    /// Dialogs that scripts of the page opened, such as alerts.
    pub dialogs: Vec<String>,
}

impl Browser {
    /// Starts the browser with an empty page of 1200 by 900 pixels.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Like [`Browser::start`], with further arguments of its command line.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let mut last = String::new();
        for _ in 0..3 {
            match Self::launch(arguments).await {
                Ok(browser) => return browser,
                Err(error) => last = error,
            }
        }
        panic!("Chromium does not start (`make chromium` installs it): {last}");
    }

    async fn launch(arguments: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(text)?;
        let log = File::create(folder.path().join("log")).map_err(text)?;
        let child = Command::new("chromium")
            .args([
                "--headless",
                // Root has no sandbox, and the tests open only pages of their own.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-extensions",
                "--disable-sync",
                "--no-first-run",
                "--no-proxy-server",
                "--hide-scrollbars",
                "--remote-debugging-port=0",
                "--window-size=1200,900",
            ])
            .arg(format!(
                "--user-data-dir={}",
                folder.path().join("profile").display()
            ))
            .args(arguments)
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A process group, so that child processes are killed too.
            .process_group(0)
            .spawn()
            .map_err(text)?;
        let mut child = KillOnDrop(Some(child));
        let deadline = Instant::now() + TIMEOUT;
        let socket = loop {
            match connect(folder.path()).await {
                Ok(socket) => break socket,
                Err(error) if Instant::now() > deadline || child.has_ended() => {
                    let log = fs::read_to_string(folder.path().join("log"));
                    return Err(format!("{error}; {}", log.unwrap_or_default()));
                }
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        };
        let mut browser = Self {
            child: child.0.take().expect("it is there until now"),
            folder,
            socket,
            session: None,
            sent: 0,
            dialogs: Vec::new(),
        };
        let made = browser
            .send("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let target = json!({"targetId": made["targetId"], "flatten": true});
        let attached = browser.send("Target.attachToTarget", target).await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser.send("Page.enable", json!({})).await;
        browser.set_viewport(1200, false).await;
        Ok(browser)
    }

    /// Sends a command of the protocol, which must succeed.
    pub async fn send(&mut self, method: &str, parameters: Value) -> Value {
        let response = self.try_send(method, parameters).await;
        response.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_send(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.sent += 1;
        let id = self.sent;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.write(&command).await?;
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let next = tokio::time::timeout_at(deadline, self.socket.next()).await;
            let next = next.map_err(|_| format!("no answer within {TIMEOUT:?}"))?;
            let Message::Text(line) = next.ok_or("the browser ended")?.map_err(text)? else {
                continue;
            };
            let message: Value = serde_json::from_str(&line).map_err(text)?;
            if message["id"] == id {
                let error = &message["error"];
                return if error.is_null() {
                    Ok(message["result"].clone())
                } else {
                    Err(error.to_string())
                };
            }
            if message["method"] == "Page.javascriptDialogOpening" {
                self.dialogs.push(message["params"]["message"].to_string());
                self.sent += 1;
                let close = json!({
                    "id": self.sent,
                    "sessionId": self.session,
                    "method": "Page.handleJavaScriptDialog",
                    "params": {"accept": true},
                });
                self.write(&close).await?;
            }
        }
    }

    async fn write(&mut self, command: &Value) -> Result<(), String> {
        let message = Message::text(command.to_string());
        self.socket.send(message).await.map_err(text)
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&mut self, url: impl Display) {
        let url = url.to_string();
        let gone = self.send("Page.navigate", json!({"url": url})).await;
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
        self.until("document.readyState === 'complete'").await;
    }

    /// Evaluates an expression in the page, regardless of its content security policy. Promises are awaited.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let value = self.try_eval(expression).await;
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    async fn try_eval(&mut self, expression: &str) -> Result<Value, String> {
        let parameters = json!({
            "expression": expression,
            "returnByValue": true,
            "awaitPromise": true,
            "userGesture": true,
        });
        let response = self.try_send("Runtime.evaluate", parameters).await?;
        match &response["exceptionDetails"] {
            Value::Null => Ok(response["result"]["value"].clone()),
            exception => Err(exception.to_string()),
        }
    }

    /// Waits until an expression is true. Errors count as false, because they occur while a page loads.
    pub async fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let value = self.try_eval(expression).await;
            if value == Ok(Value::Bool(true)) {
                return;
            }
            if Instant::now() > deadline {
                let page = self
                    .try_eval("location.href + '\\n' + document.body.innerText")
                    .await;
                let page = page.map(|page| page.as_str().unwrap_or_default().to_owned());
                panic!(
                    "{expression}: {value:?} after {TIMEOUT:?}, on {}",
                    page.unwrap_or_default()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Clicks the first element that matches a selector.
    pub async fn click(&mut self, selector: &str) {
        let found = format!("!!document.querySelector({})", json!(selector));
        self.until(&found).await;
        self.eval(&format!(
            "document.querySelector({}).click()",
            json!(selector)
        ))
        .await;
    }

    /// Clicks a link or button that leads to another page, and waits until that is loaded.
    pub async fn follow(&mut self, selector: &str) {
        self.eval("window.isOld = true").await;
        self.click(selector).await;
        self.until("!window.isOld && document.readyState === 'complete'")
            .await;
    }

    /// Presses a key: `Tab`, `Enter`.
    pub async fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            key => panic!("no such key: {key}"),
        };
        let down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        self.send("Input.dispatchKeyEvent", down).await;
        let up = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.send("Input.dispatchKeyEvent", up).await;
    }

    /// The visible text of the page.
    pub async fn text(&mut self) -> String {
        let text = self.eval("document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Sets the width of the window and the colour scheme.
    pub async fn set_viewport(&mut self, width: u32, dark: bool) {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.send("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.send("Emulation.setEmulatedMedia", media).await;
    }

    /// Takes screenshots in light mode, dark mode and on a phone, where the page must not be wider than the window:
    /// `target/screenshots/NAME-….png`.
    pub async fn screenshots(&mut self, name: &str) {
        for (look, width, dark) in [
            ("light", 1200, false),
            ("dark", 1200, true),
            ("phone", 360, false),
        ] {
            self.set_viewport(width, dark).await;
            self.screenshot(&format!("{name}-{look}")).await;
            let wide = self.eval("document.documentElement.scrollWidth").await;
            assert!(
                wide.as_u64() <= Some(width.into()),
                "{name} is {wide} wide on {width}"
            );
        }
        self.set_viewport(1200, false).await;
    }

    /// Takes a screenshot of the whole page.
    pub async fn screenshot(&mut self, name: &str) {
        let parameters = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.send("Page.captureScreenshot", parameters).await;
        let picture = picture["data"]
            .as_str()
            .and_then(|data| BASE64_STANDARD.decode(data).ok());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        fs::create_dir_all(&folder).expect("target takes folders");
        let file = folder.join(format!("{name}.png"));
        fs::write(file, picture.expect("a picture")).expect("target takes files");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A browser process that is killed when dropped, until a connection to it exists.
struct KillOnDrop(Option<Child>);

impl KillOnDrop {
    fn has_ended(&mut self) -> bool {
        let child = self.0.as_mut();
        child.is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some()))
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    let group = format!("-{}", child.id());
    Command::new("kill")
        .args(["-KILL", "--", &group])
        .stderr(Stdio::null())
        .status()
        .ok();
    child.kill().ok();
    child.wait().ok();
}

/// Connects to the browser, which writes its port and path to a file of the profile.
async fn connect(folder: &Path) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, String> {
    let address = fs::read_to_string(folder.join("profile/DevToolsActivePort")).map_err(text)?;
    let mut lines = address.lines();
    let (Some(port), Some(path)) = (lines.next(), lines.next()) else {
        return Err(format!("no port and path yet: {address:?}"));
    };
    let (socket, _) = connect_async(format!("ws://127.0.0.1:{port}{path}"))
        .await
        .map_err(text)?;
    Ok(socket)
}

fn text(error: impl Display) -> String {
    error.to_string()
}
