//! [`Backend`] against a model: whatever is asked of it in whatever order, it answers as `plain` data do.
//!
//! `PROPTEST_CASES` sets how many sequences are tried, `PROPTEST_RNG_SEED` repeats them.

mod compare;
mod place;
mod plain;
mod steps;

use std::{env, time::Duration};

use confab::{
    domain::{AppId, ChatKey, Job, Kind, MessageKey, Revision, Write},
    stores::{Backend, Batch, ClaimLimits, Enqueued, Error, JobState, Result},
};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use tokio::{runtime::Handle, task::block_in_place};

use self::{
    compare::{Checked, same},
    place::Place,
    plain::{Accepted, Plain, Ways},
    steps::{Pick, Step, steps},
};
use crate::{
    rig::LONG,
    support::{Backing, Site, on_each_backing},
};

/// Sequences that are tried unless told otherwise: some seconds' worth.
const CASES: u32 = 64;

/// One sequence on its way.
struct Case<'a> {
    place: &'a Place<'a>,
    /// `None` only while the program is dead.
    queue: Option<Backend>,
    plain: Plain,
    claims: Vec<Batch>,
    ever: Vec<Revision>,
}

/// What a claim that may be over answers.
fn settled<T: std::fmt::Debug>(what: &str, outcome: &Result<T>, stands: bool) -> Checked {
    let right = match outcome {
        Ok(_) => stands,
        Err(error) => matches!(error, Error::Fenced(_)) && !stands,
    };
    same(
        &format!("{what} of a claim: {outcome:?} is right"),
        &right,
        &true,
    )
}

impl Case<'_> {
    fn queue(&self) -> Backend {
        self.queue.clone().expect("the program runs")
    }

    async fn run(&mut self, steps: &[Step]) -> Checked {
        for (n, step) in steps.iter().enumerate() {
            let in_step =
                |error: TestCaseError| TestCaseError::fail(format!("step {n}, {step:?}: {error}"));
            self.take(step, n).await.map_err(in_step)?;
            self.compare().await.map_err(in_step)?;
        }
        self.compare_all().await
    }

    async fn take(&mut self, step: &Step, n: usize) -> Checked {
        let queue = self.queue();
        let chat = |app, number| ChatKey {
            app: AppId(app),
            number,
        };
        let text = format!("text {n}");
        match *step {
            Step::CreateApplication(app) => {
                self.accept(Write::create_application(AppId(app), text))
                    .await
            }
            Step::CreateChat(app) => self.accept(Write::create_chat(AppId(app))).await,
            Step::CreateMessage(app, number) => {
                let chat = chat(app, number);
                self.accept(Write::create_message(chat, text)).await
            }
            Step::UpdateMessage(app, in_chat, number) => {
                let message = MessageKey {
                    chat: chat(app, in_chat),
                    number,
                };
                self.accept(Write::update_message(message, text)).await
            }
            Step::Claim(kind, jobs) => self.claim(kind, jobs).await,
            Step::Extend(claim) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let outcome = queue.extend(&batch.lease, LONG).await;
                settled("extension", &outcome, self.plain.stands(claim))
            }
            Step::Expire(claim) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let outcome = queue.extend(&batch.lease, Duration::ZERO).await;
                settled("end", &outcome, self.plain.stands(claim))?;
                self.plain.expire(claim);
                self.recover().await
            }
            Step::Acknowledge(claim, bits) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let jobs = batch.jobs.into_iter().enumerate();
                let jobs: Vec<Job> = jobs
                    .filter(|(position, _)| bits & 1 << position != 0)
                    .map(|(_, job)| job)
                    .collect();
                let outcome = queue.acknowledge(&batch.lease, &jobs).await;
                let stands = self.plain.stands(claim);
                settled("acknowledgement", &outcome, stands)?;
                if stands {
                    let ids: Vec<Revision> = jobs.iter().map(|job| job.revision).collect();
                    self.plain.acknowledge(claim, &ids);
                }
                Ok(())
            }
            Step::Fail(claim, job, due) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let job = &batch.jobs[job % batch.jobs.len()];
                let after = due.map(|now| if now { Duration::ZERO } else { LONG });
                let outcome = queue.fail(&batch.lease, job, &text, after).await;
                let holds = self.plain.holds(claim, job.revision);
                settled("failure", &outcome, holds)?;
                if holds {
                    self.plain.fail(claim, job.revision, due);
                    // The next one is due later: times are in milliseconds.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(())
            }
            Step::Release(claim) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let outcome = queue.release(&batch.lease).await;
                let stands = self.plain.stands(claim);
                settled("release", &outcome, stands)?;
                if stands {
                    self.plain.release(claim);
                }
                Ok(())
            }
            Step::Retry(ref pick) => {
                let Some(id) = self.pick(pick) else {
                    return Ok(());
                };
                same("retried", &queue.retry(id).await, &Ok(self.plain.retry(id)))
            }
            Step::Kill(ref pick) => {
                let Some(id) = self.pick(pick) else {
                    return Ok(());
                };
                same("killed", &queue.discard(id).await, &Ok(self.plain.kill(id)))
            }
            Step::Pause(kind, paused) => {
                self.plain.pause(kind, paused);
                same("paused", &queue.set_paused(kind, paused).await, &Ok(()))
            }
            Step::Recover => self.recover().await,
            Step::Crash => {
                drop(queue);
                self.queue = None;
                self.queue = Some(self.place.open().await);
                self.plain.crash();
                Ok(())
            }
        }
    }

    async fn accept(&mut self, write: Write) -> Checked {
        let queue = self.queue();
        let answer = queue.enqueue(&write, None).await;
        let expected = self.plain.expect(&write);
        let seen = match &answer {
            Ok(Enqueued::Accepted { number, .. }) => Accepted::Number(*number),
            Ok(Enqueued::Missing) => Accepted::Missing,
            Ok(Enqueued::Taken) => Accepted::Taken,
            Err(Error::Full(_)) => Accepted::Full,
            Err(error) => return Err(TestCaseError::fail(format!("{write:?}: {error}"))),
        };
        same(&format!("{write:?}"), &seen, &expected)?;
        if let Ok(Enqueued::Accepted { number, revision }) = answer {
            let is_newer = self.ever.last().is_none_or(|last| *last < revision);
            same("the revision is the highest", &is_newer, &true)?;
            let Ok(Some(job)) = queue.job(revision).await else {
                return Err(TestCaseError::fail("what was accepted is not there"));
            };
            self.ever.push(revision);
            self.plain.add(&write, number, revision, job.accepted_at);
        }
        Ok(())
    }

    async fn claim(&mut self, kind: Kind, jobs: usize) -> Checked {
        let limits = ClaimLimits {
            jobs,
            bytes: 1 << 20,
            lease: LONG,
        };
        let answer = self.queue().claim(kind, &limits).await;
        let answer = answer.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let claimed = answer.as_ref().map_or(&[][..], |batch| &batch.jobs);
        // A set's order is that of acceptance.
        let expected: Vec<Job> = self
            .plain
            .claim(kind, jobs)
            .into_iter()
            .map(|revision| {
                let job = &self.plain.jobs[&revision];
                Job {
                    revision,
                    tries: job.tries,
                    request: None,
                    change: Ok(job.change.clone()),
                }
            })
            .collect();
        same("the claim", &claimed.to_vec(), &expected)?;
        self.claims.extend(answer);
        Ok(())
    }

    async fn recover(&mut self) -> Checked {
        let recovered = self.queue().recover().await;
        same("recovered", &recovered, &Ok(self.plain.recover()))
    }

    /// A claim, counted from the newest back.
    fn claimed(&self, back: usize) -> Option<(usize, Batch)> {
        let position = self.claims.len().checked_sub(1 + back)?;
        Some((position, self.claims[position].clone()))
    }

    fn pick(&self, pick: &Pick) -> Option<Revision> {
        let (from, position) = match pick {
            Pick::Ever(position) => (self.ever.clone(), position),
            Pick::Dead(position) => (self.plain.in_state(JobState::Dead), position),
            Pick::Delayed(position) => (self.plain.in_state(JobState::Delayed), position),
        };
        let position = position.checked_rem(from.len())?;
        Some(from[position])
    }
}

async fn it_does_what_plain_data_do(site: &Site) {
    let by_environment = Config::default();
    let cases = match env::var("PROPTEST_CASES") {
        Ok(_) => by_environment.cases,
        Err(_) => CASES,
    };
    let seed = match by_environment.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => rand::random(),
    };
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..by_environment
    });
    let runtime = Handle::current();
    let outcome =
        block_in_place(|| runner.run(&steps(), |steps| runtime.block_on(try_out(site, &steps))));
    match outcome {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("PROPTEST_RNG_SEED={seed}: {reason}"),
        Err(TestError::Fail(reason, steps)) => {
            panic!("PROPTEST_RNG_SEED={seed}: {reason}\nthe steps: {steps:#?}")
        }
    }
}

async fn try_out(site: &Site, steps: &[Step]) -> Checked {
    let case = rand::random::<u64>();
    let (place, ways) = match site.backing() {
        Backing::Services => (
            Place::Redis {
                site,
                prefix: format!("{}{case:x}:", site.services().redis_prefix()),
            },
            Ways {
                by_age: false,
                sole: false,
            },
        ),
        Backing::Embedded => (
            Place::Sqlite {
                file: site.folder().join(format!("{case:x}/queue.sqlite3")),
            },
            Ways {
                by_age: true,
                sole: true,
            },
        ),
    };
    let mut case = Case {
        queue: Some(place.open().await),
        place: &place,
        plain: Plain::new(ways),
        claims: Vec::new(),
        ever: Vec::new(),
    };
    // Most of what can be done wants a message.
    let begin = [
        Step::CreateApplication(0),
        Step::CreateChat(0),
        Step::CreateMessage(0, 1),
    ];
    let outcome = case.run(&[&begin[..], steps].concat()).await;
    drop(case);
    place.remove().await;
    outcome
}

on_each_backing!(it_does_what_plain_data_do);
