//! What happens to the index as a whole.

use crate::{ground::Ground, plan::rounds};

/// The index is deleted; the clean job builds it anew.
pub async fn deleted(ground: &mut Ground<'_>) {
    ground.index_is_mended = true;
    ground.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load().await;
        ground.strike(&load);
        let index = ground.site.services().elasticsearch();
        index.remove_indices().await.expect("the index is deleted");
        ground.heal(&load);
        ground.settle(load).await;
    }
}

/// The operator has a new index built while all goes on.
pub async fn rebuilt(ground: &mut Ground<'_>) {
    ground.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load().await;
        ground.strike(&load);
        ground.confab(&["search", "rebuild"]).await.expect_code(0);
        ground.heal(&load);
        ground.settle(load).await;
    }
}
