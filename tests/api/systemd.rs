//! What the process tells systemd, with the test in systemd's place.

use tokio::net::UnixDatagram;

use crate::{
    shutdown::exit_code,
    support::{PATIENCE, Process, Site, on_embedded},
};

/// The end of `$NOTIFY_SOCKET` at which systemd listens.
struct Supervisor {
    socket: UnixDatagram,
    path: String,
}

impl Supervisor {
    fn new(site: &Site) -> Self {
        let path = site.folder().join("notify").display().to_string();
        let socket = UnixDatagram::bind(&path).expect("a socket can be made");
        Self { socket, path }
    }

    /// Starts the program as a unit with a watchdog of two seconds, which thus is told something every second.
    async fn start(&self, site: &Site, plan: &str) -> Process {
        site.spawn(&[
            ("NOTIFY_SOCKET", &self.path),
            ("WATCHDOG_USEC", "2000000"),
            ("CONFAB_WORKERS__STALL_MS", "1000"),
            ("CONFAB_TEST_BREAK", plan),
        ])
        .await
    }

    /// The next that it is told, in lines.
    async fn told(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let received = tokio::time::timeout(PATIENCE, self.socket.recv(&mut buffer)).await;
        let length = received.expect("it is told something").expect("a datagram");
        let text = String::from_utf8_lossy(&buffer[..length]);
        text.lines().map(str::to_owned).collect()
    }

    /// Reads on until a line begins so; gives what came with it.
    async fn told_of(&self, start: &str) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let told = self.told().await;
            if told.iter().any(|line| line.starts_with(start)) {
                return told;
            }
            let in_time = tokio::time::Instant::now() < deadline;
            assert!(in_time, "never told {start:?}; the last was {told:?}");
        }
    }
}

fn feeds(told: &[String]) -> bool {
    told.iter().any(|line| line == "WATCHDOG=1")
}

async fn systemd_is_told_of_readiness_of_the_watchdog_and_of_the_end(site: &Site) {
    let supervisor = Supervisor::new(site);
    let mut api = supervisor.start(site, "").await;
    assert_eq!(supervisor.told().await, ["READY=1"]);
    let told = supervisor
        .told_of("STATUS=serving; all workers are running")
        .await;
    assert!(feeds(&told), "{told:?}");
    api.signal("TERM");
    supervisor.told_of("STOPPING=1").await;
    assert_eq!(exit_code(&mut api).await, Some(0));
}

async fn a_worker_that_stands_still_leaves_the_watchdog_unfed(site: &Site) {
    let supervisor = Supervisor::new(site);
    let api = supervisor.start(site, "claimed:1:stall").await;
    let told = supervisor.told_of("STATUS=serving").await;
    assert!(feeds(&told), "{told:?}");
    api.new_app().await;
    let status = "STATUS=stalled: create_application";
    supervisor.told_of(status).await;
    // By the third one, systemd would have waited for longer than it does.
    for _ in 0..3 {
        let told = supervisor.told().await;
        assert!(told[0].starts_with(status) && !feeds(&told), "{told:?}");
    }
    // It still answers: only systemd ends it.
    api.get("/up").await.expect_status(200);
}

on_embedded!(
    systemd_is_told_of_readiness_of_the_watchdog_and_of_the_end,
    a_worker_that_stands_still_leaves_the_watchdog_unfed,
);
