//! Notifications to systemd; the test receives them.

use tokio::net::UnixDatagram;

use crate::{
    shutdown::exit_code,
    support::{Fixture, Process, TIMEOUT, apply, on_embedded},
};

/// The receiving end of `$NOTIFY_SOCKET`.
struct NotifySocket {
    socket: UnixDatagram,
    path: String,
}

impl NotifySocket {
    fn new(fixture: &Fixture) -> Self {
        let path = fixture.folder().join("notify").display().to_string();
        let socket = UnixDatagram::bind(&path).expect("a socket can be made");
        Self { socket, path }
    }

    /// Starts the program as a unit with a watchdog of 2 s, which is notified every second.
    async fn start(&self, fixture: &Fixture, plan: &str) -> Process {
        fixture
            .spawn(&[
                ("NOTIFY_SOCKET", &self.path),
                ("WATCHDOG_USEC", "2000000"),
                ("CONFAB_WORKERS__STALL_MS", "1000"),
                ("CONFAB_TEST_BREAK", plan),
            ])
            .await
    }

    /// The next notification, in lines.
    async fn next_notification(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let received = tokio::time::timeout(TIMEOUT, self.socket.recv(&mut buffer)).await;
        let length = received
            .expect("a notification arrives")
            .expect("a datagram");
        let text = String::from_utf8_lossy(&buffer[..length]);
        text.lines().map(str::to_owned).collect()
    }

    /// Reads until a line begins with `start`; returns the notification.
    async fn wait_for_notification(&self, start: &str) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let notification = self.next_notification().await;
            if notification.iter().any(|line| line.starts_with(start)) {
                return notification;
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(
                in_time,
                "no notification that starts with {start:?}; the last was {notification:?}"
            );
        }
    }
}

fn notifies_watchdog(notification: &[String]) -> bool {
    notification.iter().any(|line| line == "WATCHDOG=1")
}

#[apply(on_embedded!)]
async fn systemd_is_notified_of_readiness_watchdog_and_shutdown(fixture: &Fixture) {
    let systemd = NotifySocket::new(fixture);
    let mut api = systemd.start(fixture, "").await;
    assert_eq!(systemd.next_notification().await, ["READY=1"]);
    let notification = systemd
        .wait_for_notification("STATUS=serving; all workers are running")
        .await;
    assert!(notifies_watchdog(&notification), "{notification:?}");
    api.signal("TERM");
    systemd.wait_for_notification("STOPPING=1").await;
    assert_eq!(exit_code(&mut api).await, Some(0));
}

#[apply(on_embedded!)]
async fn stalled_worker_stops_watchdog_notifications(fixture: &Fixture) {
    let systemd = NotifySocket::new(fixture);
    let api = systemd.start(fixture, "claimed:1:stall").await;
    let notification = systemd.wait_for_notification("STATUS=serving").await;
    assert!(notifies_watchdog(&notification), "{notification:?}");
    api.new_app().await;
    let status = "STATUS=stalled: create_application";
    systemd.wait_for_notification(status).await;
    // By the third one, systemd would have killed the process.
    for _ in 0..3 {
        let notification = systemd.next_notification().await;
        assert!(
            notification[0].starts_with(status) && !notifies_watchdog(&notification),
            "{notification:?}"
        );
    }
    // It still answers: only systemd ends it.
    api.get("/up").await.expect_status(200);
}
