//! A MySQL, a Redis and an Elasticsearch of the suite's own, which can be killed.

use std::{
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::support::{Servers, free_port};

const STORES: [&str; 3] = ["mysql", "redis", "elasticsearch"];

/// The set of stores that `scripts/stores.sh` manages for this suite.
#[derive(Debug, Clone)]
pub struct Stores {
    ports: [u16; 3],
}

static SET: Mutex<Option<Stores>> = Mutex::new(None);

/// Exclusive use of the set.
pub struct StoresGuard(MutexGuard<'static, Option<Stores>>);

/// Waits until no other trial uses the set, and starts it if it is not running.
pub fn acquire() -> StoresGuard {
    let mut set = SET.lock().unwrap_or_else(PoisonError::into_inner);
    // Restarts the stores that a failed trial left stopped; running stores are not touched.
    let stores = set.get_or_insert_with(|| {
        let stores = Stores {
            ports: STORES.map(|_| free_port()),
        };
        stores.script(&["wipe"]);
        stores
    });
    stores.script(&["up"]);
    StoresGuard(set)
}

/// Stops the set and deletes its data, if it was started.
pub fn wipe() {
    let set = SET.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(stores) = set {
        stores.script(&["wipe"]);
    }
}

impl StoresGuard {
    /// The set.
    pub fn stores(&self) -> Stores {
        self.0.clone().expect("it was started")
    }
}

impl Stores {
    /// The URLs of the stores.
    pub fn servers(&self) -> Servers {
        let lines = self.script(&["env", "test"]);
        let url = |name: &str| {
            let line = lines.lines().find_map(|line| line.split_once(name));
            line.expect("a line for each store").1.to_owned()
        };
        Servers {
            mysql: url("CONFAB_TEST_MYSQL_URL="),
            redis: url("CONFAB_TEST_REDIS_URL="),
            elasticsearch: url("CONFAB_TEST_ELASTICSEARCH_URL="),
        }
    }

    /// Runs `kill`, `start`, `keep` or `back` of `scripts/stores.sh`.
    pub async fn run(&self, command: &'static str, store: &'static str) {
        let stores = self.clone();
        let output = tokio::task::spawn_blocking(move || stores.script(&[command, store]));
        output.await.expect("the script succeeds");
    }

    fn script(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stores.sh");
        let output = Command::new(script)
            .args(arguments)
            .env("CONFAB_STORES_SET", "chaos")
            .env("CONFAB_STORES_MYSQL_PORT", self.ports[0].to_string())
            .env("CONFAB_STORES_REDIS_PORT", self.ports[1].to_string())
            .env(
                "CONFAB_STORES_ELASTICSEARCH_PORT",
                self.ports[2].to_string(),
            )
            .output()
            .expect("the script can be run");
        assert!(
            output.status.success(),
            "stores.sh {arguments:?}: {output:?}"
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
