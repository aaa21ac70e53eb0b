//! Putting calls together that come at the same time.
//!
//! A call to a store costs much the same for one thing as for fifty. So what is asked while others are under way waits
//! for the next call, and goes with all that has come until then: the more is asked, the larger the groups. Who asks
//! alone does not wait.

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

/// The answers to a group, in the order of its questions; an error instead of them is everybody's.
type Responses<A> = Pin<Box<dyn Future<Output = Result<Vec<Result<A>>>> + Send>>;

/// The way to one who asked.
type Reply<A> = oneshot::Sender<Result<A>>;

/// What may be asked of one store in groups.
pub struct Coalescer<Q, A>(Arc<Shared<Q, A>>);

struct Shared<Q, A> {
    /// What is told of when a group dies.
    store: &'static str,
    /// How many questions one group holds at most.
    limit: usize,
    /// How many groups are under way at most.
    max_in_flight: usize,
    call: Box<dyn Fn(Vec<Q>) -> Responses<A> + Send + Sync>,
    state: Mutex<State<Q, A>>,
}

struct State<Q, A> {
    /// Bounded by the connections of clients: each request asks one thing at a time.
    waiting: VecDeque<(Q, Reply<A>)>,
    in_flight: usize,
}

impl<Q: Send + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Groups of `limit` questions at most, `max_in_flight` of them under way at once, are answered by `call`: one answer a
    /// question, in their order, or an error that all of them get. It must end in a bounded time.
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

    /// Asks one thing. Whoever waits no more is not asked for, if his group is not under way yet.
    ///
    /// # Errors
    ///
    /// What the call says, of this question or of its group; [`Error::Failed`] if it died.
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
            // A task of its own: the group must not end with the request of the one who happened to come first.
            tokio::spawn(run(self.0.clone()));
        }
        received.await.unwrap_or_else(|_| {
            Err(Error::Failed {
                store: self.0.store,
                detail: "a call for several requests died".into(),
            })
        })
    }
}

/// Asks for one group after another, until nobody waits.
async fn run<Q: Send + 'static, A: Send + 'static>(shared: Arc<Shared<Q, A>>) {
    while let Some((requests, replies)) = shared.next_group() {
        // If it panics, the next group is flown all the same.
        match AssertUnwindSafe((shared.call)(requests))
            .catch_unwind()
            .await
        {
            // Who has gone needs no answer.
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
            // What it said is in the log already.
            Err(_) => error!(store = shared.store, "a call for several requests died"),
        }
    }
}

impl<Q, A> Shared<Q, A> {
    /// Nothing is left half done under this lock, so it is as good after a panic as before.
    fn state(&self) -> MutexGuard<'_, State<Q, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits, as many as go into a group; `None` if there is nobody, and the flight is over.
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
            // Under the same lock: who comes next must see that nobody flies for him.
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
        for (asked, number) in rest.into_iter().zip(2..) {
            assert_eq!(asked.await.unwrap(), Ok(number * 10));
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
        let refusal = |detail: &str| Error::Full(detail.into());
        let coalescer = Coalescer::new("the store", 8, 1, move |group: Vec<u32>| async move {
            if group.contains(&0) {
                return Err(refusal("all"));
            }
            let one = |number| {
                if number == 1 {
                    Err(refusal("one"))
                } else {
                    Ok(number)
                }
            };
            Ok(group.into_iter().map(one).collect())
        });
        let together = async |a, b| tokio::join!(coalescer.call(a), coalescer.call(b));
        assert_eq!(together(1, 2).await, (Err(refusal("one")), Ok(2)));
        let everybody = (Err(refusal("all")), Err(refusal("all")));
        assert_eq!(together(2, 0).await, everybody);
    }
}
