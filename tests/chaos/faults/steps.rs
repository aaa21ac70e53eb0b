//! Planned failures at the named steps of the workers: see `src/breakpoint.rs`.

use rand::Rng as _;

use crate::{ground::Ground, plan::rounds, support::eventually};

/// A process that fails when it reaches that step, in each of these ways.
pub async fn fails(ground: &mut Ground<'_>, step: &str, actions: &[&str]) {
    ground.start(ground.site.processes()).await;
    for _ in 0..rounds(1, 5) {
        for action in actions {
            let load = ground.load().await;
            ground.strike(&load);
            let time = ground.dice.random_range(1..10);
            let plan = format!("{step}:{time}:{action}");
            let victim = ground.victim();
            let settings = [("CONFAB_TEST_BREAK", &*plan)];
            ground.replace_with_mortal(victim, &settings).await;
            let victim = ground.fleet.len() - 1;
            let process = &mut ground.fleet[victim];
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
                ground.replace(victim).await;
            }
            ground.heal(&load);
            ground.settle(load).await;
        }
    }
}
