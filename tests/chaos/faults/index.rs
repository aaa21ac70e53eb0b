//! Faults of the index as a whole.

use crate::{plan::rounds, trial::Trial};

/// The index is deleted; the reconciler rebuilds it.
pub async fn deleted(trial: &mut Trial<'_>) {
    trial.index_is_repaired = true;
    trial.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = trial.load().await;
        trial.inject(&load);
        let index = trial.fixture.services().elasticsearch();
        index.remove_indices().await.expect("the index is deleted");
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

/// The operator rebuilds the index under load.
pub async fn rebuilt(trial: &mut Trial<'_>) {
    trial.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = trial.load().await;
        trial.inject(&load);
        trial.confab(&["search", "rebuild"]).await.expect_code(0);
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}
