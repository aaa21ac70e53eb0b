//! Planned failures at the named steps of the workers.

use rand::Rng as _;

use crate::{plan::rounds, support::eventually, trial::Trial};

/// A process fails at that step, once in each of these ways.
pub async fn fails(trial: &mut Trial<'_>, step: &str, actions: &[&str]) {
    trial.start(trial.fixture.process_count()).await;
    for _ in 0..rounds(1, 5) {
        for action in actions {
            let load = trial.load().await;
            trial.inject(&load);
            let time = trial.rng.random_range(1..10);
            let plan = format!("{step}:{time}:{action}");
            let victim = trial.random_process();
            let settings = [("CONFAB_TEST_BREAK", &*plan)];
            trial.replace_with_failing(victim, &settings).await;
            let victim = trial.processes.len() - 1;
            let process = &mut trial.processes[victim];
            eventually(&plan, async || {
                let (failed, ended) = (
                    process.output().contains("planned failure"),
                    process.ended().is_some(),
                );
                if failed && ended == (*action == "crash") {
                    Ok(())
                } else {
                    Err((failed, ended))
                }
            })
            .await;
            if *action == "crash" {
                trial.replace(victim).await;
            }
            trial.clear(&load);
            trial.finish_round(load).await;
        }
    }
}
