//! Property test: a [`Backend`] behaves like a reference model for any sequence of operations.
//!
//! `PROPTEST_CASES` sets the number of sequences; `PROPTEST_RNG_SEED` repeats them.

mod compare;
mod location;
mod reference;
mod steps;

use std::{env, time::Duration};

use confab::{
    domain::{AppId, ChatKey, Job, JobOrigin, Kind, MessageData, MessageKey, Revision, Write},
    stores::{Backend, Batch, ClaimLimits, Enqueued, Error, JobState, Result},
};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use serde_json::value::RawValue;
use tokio::{runtime::Handle, task::block_in_place};

use self::{
    compare::{CheckResult, same},
    location::QueueLocation,
    reference::{Accepted, BackendRules, ReferenceModel},
    steps::{Pick, Step, steps},
};
use crate::{
    support::{BackendKind, Fixture, apply, on_each_backend},
    test_stores::LONG_LEASE,
};

/// The default number of sequences, which takes a few seconds.
const CASES: u32 = 64;

/// A sequence being run.
struct Case<'a> {
    location: &'a QueueLocation<'a>,
    /// `None` only while the program is crashed.
    queue: Option<Backend>,
    model: ReferenceModel,
    claims: Vec<Batch>,
    revisions: Vec<Revision>,
}

/// Parses the data of a message.
fn data(json: &str) -> MessageData {
    let json: Box<RawValue> = serde_json::from_str(json).expect("JSON");
    MessageData::parse(&json).expect("valid data")
}

/// Checks the outcome of a call with a lease that may have ended.
fn settled<T: std::fmt::Debug>(what: &str, outcome: &Result<T>, is_valid: bool) -> CheckResult {
    let right = match outcome {
        Ok(_) => is_valid,
        Err(error) => matches!(error, Error::Fenced(_)) && !is_valid,
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

    async fn run(&mut self, steps: &[Step]) -> CheckResult {
        for (n, step) in steps.iter().enumerate() {
            let in_step =
                |error: TestCaseError| TestCaseError::fail(format!("step {n}, {step:?}: {error}"));
            self.take(step, n).await.map_err(in_step)?;
            self.compare().await.map_err(in_step)?;
        }
        self.compare_all().await
    }

    async fn take(&mut self, step: &Step, n: usize) -> CheckResult {
        let queue = self.queue();
        let chat = |app, number| ChatKey {
            app: AppId(app),
            number,
        };
        let text = format!("text {n}");
        // Some messages have a sender, some data, some both.
        let sender = n
            .is_multiple_of(2)
            .then(|| format!("sender/\"{n}\" é\u{7f}😀"));
        let data = n
            .is_multiple_of(3)
            .then(|| data(&format!(r#"{{"text":",\"kind\":\"x\"","n":{n}.0}}"#)));
        match *step {
            Step::CreateApplication(app) => {
                self.accept(Write::create_application(AppId(app), text))
                    .await
            }
            Step::CreateChat(app) => self.accept(Write::create_chat(AppId(app))).await,
            Step::CreateMessage(app, number) => {
                let chat = chat(app, number);
                let write = Write::create_message(chat, text).with_data(data.as_ref());
                self.accept(write.with_sender(sender.as_deref())).await
            }
            Step::UpdateMessage(app, in_chat, number) => {
                let message = MessageKey {
                    chat: chat(app, in_chat),
                    number,
                };
                let write = Write::update_message(message, text);
                self.accept(write.with_data(data.as_ref())).await
            }
            Step::Claim(kind, jobs) => self.claim(kind, jobs).await,
            Step::Extend(claim) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let outcome = queue.extend(&batch.lease, LONG_LEASE).await;
                settled("extension", &outcome, self.model.is_valid(claim))
            }
            Step::Expire(claim) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let outcome = queue.extend(&batch.lease, Duration::ZERO).await;
                settled("end", &outcome, self.model.is_valid(claim))?;
                self.model.expire(claim);
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
                let is_valid = self.model.is_valid(claim);
                settled("acknowledgement", &outcome, is_valid)?;
                if is_valid {
                    let ids: Vec<Revision> = jobs.iter().map(|job| job.revision).collect();
                    self.model.acknowledge(claim, &ids);
                }
                Ok(())
            }
            Step::Fail(claim, job, due) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let job = &batch.jobs[job % batch.jobs.len()];
                let after = due.map(|now| if now { Duration::ZERO } else { LONG_LEASE });
                let outcome = queue.fail(&batch.lease, job, &text, after).await;
                let holds = self.model.holds(claim, job.revision);
                settled("failure", &outcome, holds)?;
                if holds {
                    self.model.fail(claim, job.revision, due);
                    // Times are in milliseconds, so the next job becomes due later.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(())
            }
            Step::Release(claim) => {
                let Some((claim, batch)) = self.claimed(claim) else {
                    return Ok(());
                };
                let outcome = queue.release(&batch.lease).await;
                let is_valid = self.model.is_valid(claim);
                settled("release", &outcome, is_valid)?;
                if is_valid {
                    self.model.release(claim);
                }
                Ok(())
            }
            Step::Retry(ref pick) => {
                let Some(id) = self.pick(pick) else {
                    return Ok(());
                };
                same("retried", &queue.retry(id).await, &Ok(self.model.retry(id)))
            }
            Step::Kill(ref pick) => {
                // The discard of a creation is a deletion, that of an update another update: these are other writes.
                let is_alive = |id: &Revision| !self.model.is_dead(*id);
                let Some(id) = self.pick(pick).filter(is_alive) else {
                    return Ok(());
                };
                same("killed", &queue.discard(id).await, &Ok(false))
            }
            Step::Pause(kind, paused) => {
                self.model.pause(kind, paused);
                same("paused", &queue.set_paused(kind, paused).await, &Ok(()))
            }
            Step::Recover => self.recover().await,
            Step::Crash => {
                drop(queue);
                self.queue = None;
                self.queue = Some(self.location.open().await);
                self.model.crash();
                Ok(())
            }
        }
    }

    async fn accept(&mut self, write: Write) -> CheckResult {
        let queue = self.queue();
        let response = queue.enqueue(&write, None).await;
        let expected = self.model.expect(&write);
        let seen = match &response {
            Ok(Enqueued::Accepted { number, .. }) => Accepted::Number(*number),
            Ok(Enqueued::Missing) => Accepted::Missing,
            Ok(Enqueued::Taken) => Accepted::Taken,
            Err(Error::Full(_)) => Accepted::Full,
            // No write of the model has a key or a condition.
            Ok(other) => return Err(TestCaseError::fail(format!("{write:?}: {other:?}"))),
            Err(error) => return Err(TestCaseError::fail(format!("{write:?}: {error}"))),
        };
        same(&format!("{write:?}"), &seen, &expected)?;
        if let Ok(Enqueued::Accepted { number, revision }) = response {
            let is_newer = self.revisions.last().is_none_or(|last| *last < revision);
            same("the revision is the highest", &is_newer, &true)?;
            let Ok(Some(job)) = queue.job(revision).await else {
                return Err(TestCaseError::fail("what was accepted is not there"));
            };
            self.revisions.push(revision);
            self.model.add(&write, number, revision, job.accepted_at);
        }
        Ok(())
    }

    async fn claim(&mut self, kind: Kind, jobs: usize) -> CheckResult {
        let limits = ClaimLimits {
            jobs,
            bytes: 1 << 20,
            lease: LONG_LEASE,
        };
        let response = self.queue().claim(kind, &limits).await;
        let response = response.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let claimed = response.as_ref().map_or(&[][..], |batch| &batch.jobs);
        // The set is in acceptance order.
        let expected: Vec<Job> = self
            .model
            .claim(kind, jobs)
            .into_iter()
            .map(|revision| {
                let job = &self.model.jobs[&revision];
                Job {
                    revision,
                    tries: job.tries,
                    origin: JobOrigin::default(),
                    idempotency: None,
                    change: Ok(job.change.clone()),
                }
            })
            .collect();
        same("the claim", &claimed.to_vec(), &expected)?;
        self.claims.extend(response);
        Ok(())
    }

    async fn recover(&mut self) -> CheckResult {
        let recovered = self.queue().recover().await;
        same("recovered", &recovered, &Ok(self.model.recover()))
    }

    /// A claim, counted back from the newest.
    fn claimed(&self, back: usize) -> Option<(usize, Batch)> {
        let position = self.claims.len().checked_sub(1 + back)?;
        Some((position, self.claims[position].clone()))
    }

    fn pick(&self, pick: &Pick) -> Option<Revision> {
        let (from, position) = match pick {
            Pick::Any(position) => (self.revisions.clone(), position),
            Pick::Dead(position) => (self.model.in_state(JobState::Dead), position),
            Pick::Delayed(position) => (self.model.in_state(JobState::Delayed), position),
        };
        let position = position.checked_rem(from.len())?;
        Some(from[position])
    }
}

#[apply(on_each_backend!)]
async fn queue_agrees_with_reference_model(fixture: &Fixture) {
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
    let outcome = block_in_place(|| {
        runner.run(&steps(), |steps| {
            runtime.block_on(run_case(fixture, &steps))
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("PROPTEST_RNG_SEED={seed}: {reason}"),
        Err(TestError::Fail(reason, steps)) => {
            panic!("PROPTEST_RNG_SEED={seed}: {reason}\nthe steps: {steps:#?}")
        }
    }
}

async fn run_case(fixture: &Fixture, steps: &[Step]) -> CheckResult {
    let case = rand::random::<u64>();
    let (location, rules) = match fixture.backend_kind() {
        BackendKind::Services => (
            QueueLocation::Redis {
                fixture,
                prefix: format!("{}{case:x}:", fixture.services().redis_prefix()),
            },
            BackendRules {
                by_age: false,
                exclusive: false,
                keeps_marks: true,
            },
        ),
        BackendKind::Embedded => (
            QueueLocation::Sqlite {
                file: fixture.folder().join(format!("{case:x}/queue.sqlite3")),
            },
            BackendRules {
                by_age: true,
                exclusive: true,
                keeps_marks: false,
            },
        ),
    };
    let mut case = Case {
        queue: Some(location.open().await),
        location: &location,
        model: ReferenceModel::new(rules),
        claims: Vec::new(),
        revisions: Vec::new(),
    };
    // Most operations need a message.
    let begin = [
        Step::CreateApplication(0),
        Step::CreateChat(0),
        Step::CreateMessage(0, 1),
    ];
    let outcome = case.run(&[&begin[..], steps].concat()).await;
    drop(case);
    location.remove().await;
    outcome
}
