//! What happens to the process itself.

use std::time::{Duration, Instant};

use crate::{
    ground::Ground,
    plan::rounds,
    support::{Process, eventually},
};

/// Of a process that stands still.
pub const LONGER_THAN_A_LEASE: Duration = Duration::from_millis(3500);

/// kill -9 of the one process there is.
pub async fn killed(ground: &mut Ground<'_>) {
    killed_of(ground, 1, rounds(3, 60)).await;
}

/// The same on a file, where it is quicker.
pub async fn killed_on_a_file(ground: &mut Ground<'_>) {
    killed_of(ground, 1, rounds(3, 120)).await;
}

/// kill -9 of one of two processes side by side.
pub async fn one_of_two_killed(ground: &mut Ground<'_>) {
    killed_of(ground, 2, rounds(2, 60)).await;
}

async fn killed_of(ground: &mut Ground<'_>, processes: usize, rounds: usize) {
    ground.start(processes).await;
    for _ in 0..rounds {
        let load = ground.load().await;
        ground.strike(&load);
        let victim = ground.victim();
        ground.replace(victim).await;
        ground.heal(&load);
        ground.settle(load).await;
    }
}

/// One of two processes stands still for longer than its lease, and then goes on with what it had in hand.
pub async fn stands_still(ground: &mut Ground<'_>) {
    ground.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load().await;
        ground.strike(&load);
        let victim = ground.victim();
        ground.fleet[victim].signal("STOP");
        tokio::time::sleep(LONGER_THAN_A_LEASE).await;
        ground.fleet[victim].signal("CONT");
        ground.heal(&load);
        ground.settle(load).await;
    }
    let took_back = |process: &Process| process.output().matches("Recovered jobs").count();
    let times: usize = ground.fleet.iter().map(took_back).sum();
    ground.note(format!("its batches were taken over {times} times"));
}

/// SIGTERM in full load: the process finishes what it has in hand and exits with 0; another one takes its place.
pub async fn terminated(ground: &mut Ground<'_>) {
    let mut slowest = Duration::ZERO;
    ground.start(ground.site.processes()).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load().await;
        ground.strike(&load);
        let victim = ground.victim();
        let start = Instant::now();
        let process = &mut ground.fleet[victim];
        process.signal("TERM");
        let status = eventually("it exits", async || process.ended().ok_or("it runs")).await;
        slowest = slowest.max(start.elapsed());
        assert_eq!(status.code(), Some(0), "{}", process.output());
        ground.replace(victim).await;
        ground.heal(&load);
        ground.settle(load).await;
    }
    ground.note(format!("the slowest exit took {slowest:.1?}"));
}
