//! The operations on a queue.

use confab::domain::{Kind, Number};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// The maximum number of steps in a sequence.
const STEPS: usize = 50;

/// One operation. Claims are counted back from the newest, because most older ones have ended.
#[derive(Debug, Clone)]
pub enum Step {
    CreateApplication(u32),
    CreateChat(u32),
    CreateMessage(u32, Number),
    UpdateMessage(u32, Number, Number),
    Claim(Kind, usize),
    Extend(usize),
    /// The lease expires and is recovered.
    Expire(usize),
    /// Acknowledges the jobs of the claim whose bit is set.
    Acknowledge(usize, u8),
    /// `None` is permanent; otherwise the job is due at once, or not during the test.
    Fail(usize, usize, Option<bool>),
    Release(usize),
    /// Retries a job: any, a dead letter, or a delayed one.
    Retry(Pick),
    Kill(Pick),
    Pause(Kind, bool),
    Recover,
    /// The program crashes and is restarted.
    Crash,
}

#[derive(Debug, Clone)]
pub enum Pick {
    Any(usize),
    Dead(usize),
    Delayed(usize),
}

/// Random sequences. Operations that a worker makes together are sometimes generated together, so that jobs make
/// progress.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = prop_oneof![
        3 => single().prop_map(|step| vec![step]),
        1 => claim().prop_map(|claim| vec![claim, Step::Expire(0)]),
        1 => (claim(), any::<u8>()).prop_map(|(claim, jobs)| vec![claim, Step::Acknowledge(0, jobs)]),
        1 => (claim(), due()).prop_map(|(claim, due)| vec![claim, Step::Fail(0, 0, due)]),
    ];
    proptest::collection::vec(some, 1..STEPS).prop_map(|steps| steps.concat())
}

fn single() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => app().prop_map(Step::CreateApplication),
        1 => app().prop_map(Step::CreateChat),
        4 => (app(), chat()).prop_map(|(app, chat)| Step::CreateMessage(app, chat)),
        8 => (app(), chat(), message())
            .prop_map(|(app, chat, number)| Step::UpdateMessage(app, chat, number)),
        3 => claim(),
        1 => claim_index().prop_map(Step::Extend),
        2 => claim_index().prop_map(Step::Expire),
        3 => (claim_index(), any::<u8>()).prop_map(|(claim, jobs)| Step::Acknowledge(claim, jobs)),
        2 => (claim_index(), 0..4_usize, due()).prop_map(|(claim, job, due)| Step::Fail(claim, job, due)),
        2 => claim_index().prop_map(Step::Release),
        3 => pick().prop_map(Step::Retry),
        3 => pick().prop_map(Step::Kill),
        1 => (kind(), any::<bool>()).prop_map(|(kind, paused)| Step::Pause(kind, paused)),
        1 => Just(Step::Recover),
        1 => Just(Step::Crash),
    ]
}

fn claim() -> impl Strategy<Value = Step> {
    (kind(), 1..5_usize).prop_map(|(kind, jobs)| Step::Claim(kind, jobs))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        1 => Just(Kind::CreateApplication),
        1 => Just(Kind::CreateChat),
        4 => Just(Kind::CreateMessage),
        6 => Just(Kind::UpdateMessage),
    ]
}

/// Mostly the application that a sequence begins with, as for chats and messages: a few missing ones are enough.
fn app() -> impl Strategy<Value = u32> {
    prop_oneof![9 => Just(0), 1 => Just(1)]
}

fn chat() -> impl Strategy<Value = Number> {
    prop_oneof![9 => Just(1), 1 => Just(2)]
}

fn message() -> impl Strategy<Value = Number> {
    prop_oneof![6 => Just(1), 2 => Just(2), 1 => Just(3)]
}

/// A claim, counted back from the newest.
fn claim_index() -> impl Strategy<Value = usize> {
    0..4_usize
}

fn due() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![Just(None), Just(Some(true)), Just(Some(false))]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        1 => (0..100_usize).prop_map(Pick::Any),
        2 => (0..3_usize).prop_map(Pick::Dead),
        1 => (0..3_usize).prop_map(Pick::Delayed),
    ]
}
