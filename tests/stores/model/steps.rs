//! What is done to a queue.

use confab::domain::{Kind, Number};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// Steps of a sequence at most.
const STEPS: usize = 50;

/// One step. Claims are counted from the newest back, as most of the old ones are over.
#[derive(Debug, Clone)]
pub enum Step {
    CreateApplication(u32),
    CreateChat(u32),
    CreateMessage(u32, Number),
    UpdateMessage(u32, Number, Number),
    Claim(Kind, usize),
    Extend(usize),
    /// Its time is over, and is found to be.
    Expire(usize),
    /// Those of its jobs whose bit is set are stored.
    Acknowledge(usize, u8),
    /// `None`: for good; else it is due at once, or not while the test runs.
    Fail(usize, usize, Option<bool>),
    Release(usize),
    /// Of all jobs that ever were, of the dead letters, or of the delayed jobs.
    Retry(Pick),
    Kill(Pick),
    Pause(Kind, bool),
    Recover,
    /// The program dies, and is started again.
    Crash,
}

#[derive(Debug, Clone)]
pub enum Pick {
    Ever(usize),
    Dead(usize),
    Delayed(usize),
}

/// Random sequences. What a worker does at one go comes together at times, or it would seldom get far.
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
        1 => back().prop_map(Step::Extend),
        2 => back().prop_map(Step::Expire),
        3 => (back(), any::<u8>()).prop_map(|(claim, jobs)| Step::Acknowledge(claim, jobs)),
        2 => (back(), 0..4_usize, due()).prop_map(|(claim, job, due)| Step::Fail(claim, job, due)),
        2 => back().prop_map(Step::Release),
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

/// Mostly the one with which a sequence begins, as for chats and messages: what does not exist is soon tried out.
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
fn back() -> impl Strategy<Value = usize> {
    0..4_usize
}

fn due() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![Just(None), Just(Some(true)), Just(Some(false))]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        1 => (0..100_usize).prop_map(Pick::Ever),
        2 => (0..3_usize).prop_map(Pick::Dead),
        1 => (0..3_usize).prop_map(Pick::Delayed),
    ]
}
