//! Putting calls together that come at the same time.
//!
//! A call to a store costs about the same for one request as for fifty. So requests that arrive while the maximum
//! number of calls is in flight wait, and the next call takes all of them: the higher the load, the larger the groups.
//! Without load, a request does not wait.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tracing::error;

use super::{Error, Result};

/// Responses to a group, in the order of its requests. An error instead of them goes to all callers of the group.
type Responses<A> = Pin<Box<dyn Future<Output = Result<Vec<Result<A>>>> + Send>>;

/// Channel to a caller.
type Reply<A> = oneshot::Sender<Result<A>>;

/// Coalesces concurrent requests to one store into groups.
pub struct Coalescer<Q, A>(Arc<Shared<Q, A>>);

struct Shared<Q, A> {
    /// Store in the error after a panic.
    store: &'static str,
    /// Maximum number of requests in a group.
    limit: usize,
    /// Maximum number of groups in flight.
    max_in_flight: usize,
    call: Box<dyn Fn(Vec<Q>) -> Responses<A> + Send + Sync>,
    state: Mutex<State<Q, A>>,
}

struct State<Q, A> {
    /// Bounded by the number of client connections: each request makes one call at a time.
    waiting: VecDeque<(Q, Reply<A>)>,
    in_flight: usize,
}

impl<Q: Send + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Creates a coalescer that sends groups of up to `limit` requests, up to `max_in_flight` at once, by `call`. It
    /// returns one response per request, in their order, or an error for all of them, within a bounded time.
    pub fn new<F>(
        store: &'static str,
        limit: usize,
        max_in_flight: usize,
        call: impl Fn(Vec<Q>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<Result<A>>>> + Send + 'static,
    {
        Self(Arc::new(Shared {
            store,
            limit,
            max_in_flight,
            call: Box::new(move |group| Box::pin(call(group))),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                in_flight: 0,
            }),
        }))
    }

    /// Makes a request. If the caller stops waiting before its group is sent, the request is dropped.
    ///
    /// # Errors
    ///
    /// The error of this request or of its group; [`Error::Failed`] if the call panicked.
    pub async fn call(&self, request: Q) -> Result<A> {
        let (response, received) = oneshot::channel();
        let starts = {
            let mut state = self.0.state();
            state.waiting.push_back((request, response));
            let starts = state.in_flight < self.0.max_in_flight;
            state.in_flight += usize::from(starts);
            starts
        };
        if starts {
            // A separate task, because the group must not be cancelled with the request that started it.
            tokio::spawn(run(self.0.clone()));
        }
        received.await.unwrap_or_else(|_| {
            Err(Error::Failed {
                store: self.0.store,
                detail: "the call for a group of requests panicked".into(),
            })
        })
    }
}

/// Sends groups until no request waits.
async fn run<Q: Send + 'static, A: Send + 'static>(shared: Arc<Shared<Q, A>>) {
    while let Some((requests, replies)) = shared.next_group() {
        // If it panics, the next group is sent all the same.
        match AssertUnwindSafe((shared.call)(requests))
            .catch_unwind()
            .await
        {
            // Callers that stopped waiting need no response.
            Ok(Ok(responses)) => {
                for (reply, response) in replies.into_iter().zip(responses) {
                    let _ = reply.send(response);
                }
            }
            Ok(Err(error)) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
            // The panic hook has logged the message.
            Err(_) => error!(
                store = shared.store,
                "Call for a group of requests panicked; all of them fail"
            ),
        }
    }
}

impl<Q, A> Shared<Q, A> {
    /// Locks the state. No code panics in an inconsistent state under this lock, so poisoning is ignored.
    fn state(&self) -> MutexGuard<'_, State<Q, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next group; `None` if no request waits, which ends this task.
    fn next_group(&self) -> Option<(Vec<Q>, Vec<Reply<A>>)> {
        let mut state = self.state();
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        while requests.len() < self.limit {
            let Some((request, reply)) = state.waiting.pop_front() else {
                break;
            };
            if !reply.is_closed() {
                requests.push(request);
                replies.push(reply);
            }
        }
        if requests.is_empty() {
            // Under the same lock, so that the next caller starts a new task.
            state.in_flight -= 1;
            return None;
        }
        Some((requests, replies))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_comes_meanwhile_goes_together_and_everybody_gets_his_own_answer() {
        let (gate, sizes) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(vec![])));
        let coalescer = {
            let (gate, sizes) = (gate.clone(), sizes.clone());
            Arc::new(Coalescer::new("the store", 3, 1, move |group: Vec<u32>| {
                let (gate, sizes) = (gate.clone(), sizes.clone());
                async move {
                    sizes.lock().unwrap().push(group.len());
                    gate.acquire().await.unwrap().forget();
                    Ok(group.into_iter().map(|number| Ok(number * 10)).collect())
                }
            }))
        };
        let ask = |number| {
            let coalescer = coalescer.clone();
            tokio::spawn(async move { coalescer.call(number).await })
        };
        let first = ask(1);
        while sizes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (2..=6).map(ask).collect();
        while coalescer.0.state().waiting.len() < 5 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(3);
        assert_eq!(first.await.unwrap(), Ok(10));
        for (response, number) in rest.into_iter().zip(2..) {
            assert_eq!(response.await.unwrap(), Ok(number * 10));
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 3, 2]);
    }

    #[tokio::test]
    async fn a_call_that_dies_fails_its_group_and_no_other() {
        let coalescer = Coalescer::new("the store", 8, 1, |group: Vec<bool>| async move {
            assert!(!group.contains(&true), "planned");
            Ok(group.into_iter().map(Ok).collect())
        });
        assert!(coalescer.call(true).await.is_err());
        let after = tokio::time::timeout(Duration::from_secs(30), coalescer.call(false)).await;
        assert_eq!(after.unwrap(), Ok(false));
    }

    #[tokio::test]
    async fn an_error_is_everybodys_or_ones() {
        let rejection = |detail: &str| Error::Full(detail.into());
        let coalescer = Coalescer::new("the store", 8, 1, move |group: Vec<u32>| async move {
            if group.contains(&0) {
                return Err(rejection("all"));
            }
            let one = |number| {
                if number == 1 {
                    Err(rejection("one"))
                } else {
                    Ok(number)
                }
            };
            Ok(group.into_iter().map(one).collect())
        });
        let together = async |a, b| tokio::join!(coalescer.call(a), coalescer.call(b));
        assert_eq!(together(1, 2).await, (Err(rejection("one")), Ok(2)));
        let everybody = (Err(rejection("all")), Err(rejection("all")));
        assert_eq!(together(2, 0).await, everybody);
    }
}
