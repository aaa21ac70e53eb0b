//! Applications whose changes somebody waits for.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Backend, Result};
use crate::domain::{AppId, Revision};

/// Interval of the reads of last revisions: a change that another process accepted is noticed that late.
const INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of applications of one read.
const AT_ONCE: usize = 1000;

/// The last known revision of an application; `None` before the first read.
type LastRevision = Option<Revision>;

/// Followed applications with their last revisions. Without followers, an accepted write costs one look at an empty map.
#[derive(Debug, Default)]
pub struct Followers {
    apps: Mutex<HashMap<AppId, watch::Sender<LastRevision>>>,
    /// Ends all waits.
    ended: CancellationToken,
}

/// Follower of an application, from its creation until it is dropped.
#[derive(Debug)]
pub struct Follower {
    app: AppId,
    followers: Arc<Followers>,
    last: Option<watch::Receiver<LastRevision>>,
}

impl Followers {
    /// Follows an application. What changes from now on ends a wait of the follower.
    pub fn follow(self: &Arc<Self>, app: AppId) -> Follower {
        let last = self.lock().entry(app).or_default().subscribe();
        Follower {
            app,
            followers: self.clone(),
            last: Some(last),
        }
    }

    /// Ends the waits of all followers, now and later.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Tells the followers of an application its last revision.
    pub(super) fn changed(&self, app: AppId, last: Revision) {
        if let Some(known) = self.lock().get(&app) {
            known.send_if_modified(|known| known.replace(last) != Some(last));
        }
    }

    fn apps(&self) -> Vec<AppId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, watch::Sender<LastRevision>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Tells whether all waits end.
    pub fn has_ended(&self) -> bool {
        self.followers.ended.is_cancelled()
    }

    /// Waits for a change since the follower was created or this last returned true. Returns false when all waits end.
    ///
    /// It may return true without a change. Dropping its future loses nothing.
    pub async fn changed(&mut self) -> bool {
        let Some(last) = &mut self.last else {
            return false;
        };
        tokio::select! {
            biased;
            () = self.followers.ended.cancelled() => false,
            changed = last.changed() => changed.is_ok(),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut apps = self.followers.lock();
        // Before the receivers are counted.
        self.last = None;
        if let Entry::Occupied(known) = apps.entry(self.app)
            && known.get().receiver_count() == 0
        {
            known.remove();
        }
    }
}

impl Backend {
    /// The followers of applications in this process.
    pub fn followers(&self) -> &Arc<Followers> {
        match self {
            Self::Services(services) => &services.followers,
            Self::Embedded(embedded) => &embedded.followers,
        }
    }

    /// Reads the last revisions of followed applications once a second, until `stop`. Writes that this process accepts are known
    /// at once.
    pub async fn watch_followed(&self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(INTERVAL))
            .await
            .is_some()
        {
            for apps in self.followers().apps().chunks(AT_ONCE) {
                // Followers read the changes when they end their wait, and get the error then.
                match self.last_revisions(apps).await {
                    Ok(last) => {
                        for (app, last) in apps.iter().zip(last) {
                            self.followers().changed(*app, last);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "Last revisions could not be read"),
                }
            }
        }
    }

    /// The last revisions of applications, in their order. It changes with every change of an application.
    async fn last_revisions(&self, apps: &[AppId]) -> Result<Vec<Revision>> {
        dispatch!(self.last_revisions(apps), services: redis.last_revisions)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const APP: AppId = AppId(1);

    /// Tells whether a wait ends at once, and what it returns.
    async fn poll(follower: &mut Follower) -> Option<bool> {
        follower.changed().now_or_never()
    }

    #[tokio::test]
    async fn follower_learns_of_each_change_once() {
        let followers = Arc::<Followers>::default();
        let (mut one, mut other) = (followers.follow(APP), followers.follow(AppId(2)));
        assert_eq!(poll(&mut one).await, None);
        followers.changed(APP, Revision(1));
        followers.changed(APP, Revision(2));
        assert_eq!(poll(&mut one).await, Some(true));
        assert_eq!(poll(&mut one).await, None);
        followers.changed(APP, Revision(2));
        assert_eq!(poll(&mut one).await, None);
        assert_eq!(poll(&mut other).await, None);
        // The history can be set back.
        followers.changed(APP, Revision(1));
        assert_eq!(poll(&mut one).await, Some(true));
        followers.end();
        assert_eq!(poll(&mut one).await, Some(false));
        assert_eq!(poll(&mut followers.follow(APP)).await, Some(false));
    }

    #[tokio::test]
    async fn application_without_followers_is_forgotten() {
        let followers = Arc::<Followers>::default();
        let (one, other) = (followers.follow(APP), followers.follow(APP));
        drop(one);
        assert_eq!(followers.apps(), [APP]);
        drop(other);
        assert_eq!(followers.apps(), []);
    }
}
