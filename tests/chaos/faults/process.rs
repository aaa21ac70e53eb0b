//! What happens to the process itself.

use crate::{ground::Ground, plan::rounds};

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
