//! Faults of the process itself.

use std::time::{Duration, Instant};

use crate::{
    plan::rounds,
    support::{Process, eventually},
    trial::Trial,
};

/// Duration for which a process is suspended.
pub const LONGER_THAN_A_LEASE: Duration = Duration::from_millis(6500);

/// SIGKILL of the only process.
pub async fn killed(trial: &mut Trial<'_>) {
    killed_of(trial, 1, rounds(3, 60)).await;
}

/// SIGKILL of the only process on a file, with more rounds because they are quicker.
pub async fn killed_on_a_file(trial: &mut Trial<'_>) {
    killed_of(trial, 1, rounds(3, 120)).await;
}

/// SIGKILL of one of two processes.
pub async fn one_of_two_killed(trial: &mut Trial<'_>) {
    killed_of(trial, 2, rounds(2, 60)).await;
}

async fn killed_of(trial: &mut Trial<'_>, processes: usize, rounds: usize) {
    trial.start(processes).await;
    for _ in 0..rounds {
        let load = trial.load().await;
        trial.inject(&load);
        let victim = trial.random_process();
        trial.replace(victim).await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

/// One of two processes is suspended for longer than its lease, and then continues with its batch.
pub async fn suspended(trial: &mut Trial<'_>) {
    trial.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = trial.load().await;
        trial.inject(&load);
        let victim = trial.random_process();
        trial.processes[victim].signal("STOP");
        tokio::time::sleep(LONGER_THAN_A_LEASE).await;
        trial.processes[victim].signal("CONT");
        trial.clear(&load);
        trial.finish_round(load).await;
    }
    let took_back = |process: &Process| process.output().matches("Recovered jobs").count();
    let times: usize = trial.processes.iter().map(took_back).sum();
    trial.note(format!("its batches were taken over {times} times"));
}

/// SIGTERM under load: the process completes its requests and batches and exits with 0; another one replaces it.
pub async fn terminated(trial: &mut Trial<'_>) {
    let mut slowest = Duration::ZERO;
    trial.start(trial.fixture.process_count()).await;
    for _ in 0..rounds(1, 5) {
        let load = trial.load().await;
        trial.inject(&load);
        let victim = trial.random_process();
        let start = Instant::now();
        let process = &mut trial.processes[victim];
        process.signal("TERM");
        let status = eventually("it exits", async || process.ended().ok_or("it runs")).await;
        slowest = slowest.max(start.elapsed());
        assert_eq!(status.code(), Some(0), "{}", process.output());
        trial.replace(victim).await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
    trial.note(format!("the slowest exit took {slowest:.1?}"));
}
