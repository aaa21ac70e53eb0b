//! One Redis server takes over from another. The processes reach Redis through a proxy, as through a virtual address.

use std::{collections::HashSet, time::Instant};

use super::stores::stored;
use crate::{
    convergence,
    history::DurableWrites,
    load::{Load, THINK_TIME},
    plan::rounds,
    support::{Chat, DedicatedRedis, Process, Proxy, Sentinel, eventually, eventually_eq},
    trial::Trial,
};

const REDIS_URL: &str = "CONFAB_SERVICES__REDIS_URL";

/// Two Redis servers: a master, and a replica that may become the master.
struct Pair {
    servers: [DedicatedRedis; 2],
    /// Proxies to each server, for its replica.
    links: [Proxy; 2],
    /// The proxy that the processes use.
    proxy: Proxy,
    /// The index of the master.
    master: usize,
}

/// What was stored before a fault that may lose what only Redis held.
struct Stored {
    texts: HashSet<String>,
    chats: HashSet<Chat>,
}

impl Pair {
    /// Starts both servers. The processes of the trial use the first.
    async fn start(trial: &mut Trial<'_>) -> Self {
        let servers = [
            DedicatedRedis::durable(trial.fixture).await,
            DedicatedRedis::durable(trial.fixture).await,
        ];
        let mut links = [0, 1].map(|server: usize| Proxy::refusing(&servers[server].url));
        for link in &mut links {
            link.open().await;
        }
        let mut proxy = Proxy::refusing(&servers[0].url);
        proxy.open().await;
        trial.settings.push((REDIS_URL, proxy.url()));
        // A takeover takes seconds. A lease that ends meanwhile would count as a crash of its claimer.
        let lease = ("CONFAB_WORKERS__LEASE_MS", "10000".to_owned());
        trial.settings.push(lease);
        let pair = Self {
            servers,
            links,
            proxy,
            master: 0,
        };
        pair.follow().await;
        pair
    }

    fn master(&self) -> &DedicatedRedis {
        &self.servers[self.master]
    }

    fn replica(&self) -> &DedicatedRedis {
        &self.servers[1 - self.master]
    }

    /// Makes the other server a replica of the master, and waits until it has the data.
    async fn follow(&self) {
        let port = self.links[self.master].port();
        self.replica().follow(port).await;
    }

    /// Stops replication: what the master accepts from now on, the replica does not get.
    fn lag(&self) {
        self.links[self.master].hang();
    }

    /// Makes the replica the master. The former master stays as it is.
    async fn promote(&mut self) {
        self.replica().promote().await;
        self.links[self.master].cut_now();
        self.links[self.master].resume();
        self.master = 1 - self.master;
    }

    /// Opens the proxy, which leads to the master.
    async fn open(&mut self) {
        self.proxy.redirect(&self.servers[self.master].url);
        self.proxy.open().await;
    }
}

impl Stored {
    async fn now(trial: &Trial<'_>) -> Self {
        let (texts, chats) = stored(trial).await;
        Self { texts, chats }
    }

    /// The writes that must exist if Redis lost, at that time, what only it held.
    fn or_since(self, time: Instant) -> DurableWrites {
        DurableWrites::after(time, self.texts, self.chats)
    }
}

/// Lets the replica lag, then cuts the processes off both servers. Returns the writes that must exist if the master's
/// newest data is lost then.
async fn cut_off_with_lag(trial: &mut Trial<'_>, pair: &mut Pair, load: &Load) -> DurableWrites {
    pair.lag();
    load.wait_for_successes(300).await;
    let stored = Stored::now(trial).await;
    trial.inject(load);
    pair.proxy.cut().await;
    stored.or_since(Instant::now())
}

/// Kills and replaces a random process in every second round.
async fn kill_a_process(trial: &mut Trial<'_>, round: usize) {
    if round % 2 == 1 {
        let victim = trial.random_process();
        trial.replace(victim).await;
    }
}

/// Compares after a loss of what only Redis held.
async fn finish_lossy(trial: &mut Trial<'_>, load: Load, durable: &DurableWrites) {
    trial.clear(&load);
    trial.row().lost_with_redis.get_or_insert(0);
    trial.finish_round_with(load, durable).await;
}

/// The master is killed when its replica has everything: nothing is lost.
pub async fn fails_over(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        trial.inject(&load);
        pair.proxy.cut().await;
        pair.replica().catch_up(pair.master()).await;
        let former = pair.master;
        pair.servers[former].kill();
        pair.promote().await;
        kill_a_process(trial, round).await;
        pair.open().await;
        load.wait_for_successes(100).await;
        pair.servers[former].start_again().await;
        pair.follow().await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

/// The master is killed while its replica lags. What only the master held is lost; what was stored is not, and no number
/// of it is given again.
pub async fn replica_lags(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        let durable = cut_off_with_lag(trial, &mut pair, &load).await;
        let former = pair.master;
        pair.servers[former].kill();
        pair.promote().await;
        kill_a_process(trial, round).await;
        pair.open().await;
        load.wait_for_successes(100).await;
        pair.servers[former].start_again().await;
        pair.follow().await;
        finish_lossy(trial, load, &durable).await;
    }
}

/// The former master becomes a replica of the new one, lags, and becomes the master again.
pub async fn fails_back_with_resynchronisation(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        pair.proxy.cut().await;
        pair.replica().catch_up(pair.master()).await;
        pair.promote().await;
        pair.follow().await;
        pair.open().await;
        load.wait_for_successes(100).await;
        let durable = cut_off_with_lag(trial, &mut pair, &load).await;
        pair.promote().await;
        kill_a_process(trial, round).await;
        pair.open().await;
        load.wait_for_successes(100).await;
        pair.follow().await;
        finish_lossy(trial, load, &durable).await;
    }
}

/// The master becomes a replica of one that lags, which costs it its newest data, and is the master again before any
/// process has reached the other one.
pub async fn fails_back_before_it_is_noticed(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        let durable = cut_off_with_lag(trial, &mut pair, &load).await;
        pair.promote().await;
        pair.follow().await;
        pair.promote().await;
        pair.follow().await;
        kill_a_process(trial, round).await;
        pair.open().await;
        load.wait_for_successes(100).await;
        finish_lossy(trial, load, &durable).await;
    }
}

/// The former master becomes the master again as it was when it was left. Everything that the other one accepted is
/// stored by then: nothing is lost, and no number is given twice.
pub async fn fails_back_without_resynchronisation(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        pair.proxy.cut().await;
        pair.replica().catch_up(pair.master()).await;
        pair.promote().await;
        pair.open().await;
        load.wait_for_successes(300).await;
        let load = load.pause().await;
        convergence::wait(trial).await.expect("it converges");
        trial.inject(&load);
        pair.proxy.cut().await;
        pair.master = 1 - pair.master;
        kill_a_process(trial, round).await;
        pair.open().await;
        let load = load.resume();
        load.wait_for_successes(100).await;
        pair.follow().await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

/// A former master, now a replica, still answers on existing connections. Only new connections lead to the new master.
pub async fn demoted_still_answers(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        // Otherwise what the former master accepts in this moment is lost.
        let load = load.pause().await;
        pair.replica().catch_up(pair.master()).await;
        trial.inject(&load);
        pair.promote().await;
        pair.follow().await;
        pair.proxy.redirect(&pair.master().url);
        let load = load.resume();
        kill_a_process(trial, round).await;
        load.wait_for_successes(100).await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

/// A Sentinel notices the death of a master and promotes its replica; later it makes the former master the master again.
pub async fn sentinel_fails_over_and_back(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    // The Sentinel connects the servers itself.
    let port = pair.servers[0].port;
    pair.servers[1].follow(port).await;
    let sentinel = Sentinel::start(trial.fixture.folder(), port).await;
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        let replica = pair.replica().port;
        eventually_eq("the Sentinel's replica is in sync", true, async || {
            pair.replica().replication("master_link_status").await == Some("up".to_owned())
        })
        .await;
        let stored = Stored::now(trial).await;
        trial.inject(&load);
        let former = pair.master;
        pair.servers[former].kill();
        let now = Instant::now();
        kill_a_process(trial, round).await;
        eventually_eq("the Sentinel fails over", Some(replica), async || {
            sentinel.master().await
        })
        .await;
        pair.master = 1 - former;
        pair.proxy.redirect(&pair.master().url);
        pair.proxy.cut_now();
        load.wait_for_successes(100).await;
        pair.servers[former].start_again().await;
        eventually_eq("it is a replica", Some("slave".to_owned()), async || {
            pair.servers[former].replication("role").await
        })
        .await;
        finish_lossy(trial, load, &stored.or_since(now)).await;
    }
}

/// The only process is killed while it begins an epoch after a takeover; the next one completes the takeover.
#[cfg(feature = "breakpoints")]
pub async fn killed_while_an_epoch_begins(trial: &mut Trial<'_>) {
    let mut pair = Pair::start(trial).await;
    trial.start(1).await;
    for _ in 0..rounds(1, 5) {
        for step in ["epoch_raised", "epoch_set"] {
            let load = trial.load_with(THINK_TIME).await;
            trial.inject(&load);
            pair.proxy.cut().await;
            pair.replica().catch_up(pair.master()).await;
            pair.promote().await;
            pair.follow().await;
            let plan = format!("{step}:1:crash");
            trial
                .replace_with_failing(0, &[("CONFAB_TEST_BREAK", &plan)])
                .await;
            pair.open().await;
            let process = &mut trial.processes[0];
            eventually(step, async || process.ended().ok_or("it runs")).await;
            trial.replace(0).await;
            load.wait_for_successes(100).await;
            trial.clear(&load);
            trial.finish_round(load).await;
        }
    }
}

/// Two processes use two servers that both are masters. The one that was not the master before gets no write; an alarm
/// says so, no epoch begins, and nothing is lost.
pub async fn two_masters(trial: &mut Trial<'_>) {
    let pair = Pair::start(trial).await;
    let mut second = Proxy::refusing(&pair.servers[0].url);
    second.open().await;
    let second_url = second.url();
    trial.start(1).await;
    let process = trial.process(&[(REDIS_URL, &second_url)]).await;
    trial.processes.push(process);
    trial.update_pool();
    for round in 0..rounds(2, 6) {
        let load = trial.load_with(THINK_TIME).await;
        let epoch = epoch(trial).await;
        trial.inject(&load);
        second.cut().await;
        pair.replica().catch_up(pair.master()).await;
        pair.replica().promote().await;
        second.redirect(&pair.replica().url);
        second.open().await;
        if round % 2 == 1 {
            trial.replace_with(1, &[(REDIS_URL, &second_url)]).await;
        }
        two_masters_are_reported(&trial.processes).await;
        load.wait_for_successes(100).await;
        assert_eq!(self::epoch(trial).await, epoch, "an epoch began");

        second.cut().await;
        pair.follow().await;
        second.redirect(&pair.master().url);
        second.open().await;
        trial.processes[1].wait_until_ready().await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

async fn epoch(trial: &Trial<'_>) -> Option<i64> {
    trial
        .fixture
        .stored_number("SELECT queue_epoch FROM state")
        .await
}

/// Waits until the second of two processes is unavailable because of the other one's server, and both report two
/// servers.
async fn two_masters_are_reported(processes: &[Process]) {
    eventually("readiness reports two masters", async || {
        let response = processes[1].get("/readyz").await;
        let reason = processes[1].output().contains("use another Redis server");
        if response.status == 503 && reason {
            Ok(())
        } else {
            Err(response)
        }
    })
    .await;
    for process in processes {
        eventually("the metric reports two masters", async || {
            let response = process.admin().get("/metrics").await;
            match response.body.contains("\nconfab_redis_masters 2\n") {
                true => Ok(()),
                false => Err(response.status),
            }
        })
        .await;
        eventually("the log reports two masters", async || {
            let output = process.output();
            match output.contains("Two Redis servers are used as master") {
                true => Ok(()),
                false => Err(output),
            }
        })
        .await;
    }
}
