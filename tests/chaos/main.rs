//! The fault suite: the real binary under load, faults while it works, and then everything compared.
//!
//! `make chaos` plays all rounds, `make test` a short form. At the end a table says what came of each fault; the same as
//! JSON lines is in `target/chaos.jsonl`. `CONFAB_TEST_SEED` repeats sizes, mixes and moments of a run.

#[path = "../support/mod.rs"]
mod support;

mod compare;
mod faults;
mod ground;
mod hand;
mod ledger;
mod load;
mod plan;
mod report;
mod rest;
mod stores;
mod texts;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};

use self::{
    faults::{
        file, index, outage, process,
        reach::{self, Store},
        stores as store_faults,
    },
    ground::Ground,
    report::Row,
    stores::Stores,
    support::{Place, Servers, run_at},
};

/// How many trials run side by side unless it is said: they mostly wait.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    if !arguments.list {
        println!("CONFAB_TEST_SEED={}", plan::seed());
        fs::remove_file(rows_file()).ok();
    }
    let conclusion = libtest_mimic::run(&arguments, trials());
    stores::wipe();
    report::print();
    conclusion.exit_code()
}

/// All faults. Those that want stores of their own take turns, so they stand between the others.
fn trials() -> Vec<Trial> {
    let mut others = vec![
        services("the_process_is_killed", process::killed),
        services("one_of_two_is_killed", process::one_of_two_killed),
        services("a_process_stands_still", process::stands_still),
        services("sigterm_in_full_load", process::terminated),
        services("the_index_is_deleted", index::deleted),
        services("the_index_is_rebuilt", index::rebuilt),
        services(
            "elasticsearch_is_gone_and_the_rest_goes_on",
            outage::elasticsearch_gone,
        ),
        services("mysql_is_gone_and_known_chats_go_on", outage::mysql_gone),
        services("redis_is_gone_and_reads_go_on", outage::redis_gone),
        embedded("the_process_is_killed", process::killed_on_a_file),
        embedded("sigterm_in_full_load", process::terminated),
        embedded("the_disk_is_full", file::full_disk),
        embedded("the_file_is_read_only", file::read_only),
    ];
    let mut owners = vec![
        own("redis_is_emptied", store_faults::redis_emptied),
        own("redis_is_set_back", store_faults::redis_set_back),
    ];
    for (name, store) in [
        ("mysql", Store::Mysql),
        ("redis", Store::Redis),
        ("elasticsearch", Store::Elasticsearch),
    ] {
        others.push(services(&format!("{name}_is_gone"), async move |ground| {
            reach::gone(ground, store).await;
        }));
        others.push(services(&format!("{name}_hangs"), async move |ground| {
            reach::hanging(ground, store).await;
        }));
        others.push(services(
            &format!("{name}_is_cut_off_again_and_again"),
            async move |ground| {
                reach::cut(ground, store).await;
            },
        ));
        owners.push(own(
            &format!("{name}_is_killed"),
            async move |ground, stores| {
                store_faults::killed(ground, stores, name).await;
            },
        ));
    }
    others.extend(step_trials());
    let between = others.len() / owners.len();
    for (index, owner) in owners.into_iter().enumerate() {
        others.insert(index * (between + 1), owner);
    }
    others
}

#[cfg(not(feature = "breakpoints"))]
fn step_trials() -> Vec<Trial> {
    Vec::new()
}

#[cfg(feature = "breakpoints")]
fn step_trials() -> Vec<Trial> {
    const DEATHS: &[&str] = &["crash", "panic"];
    const ALL: &[&str] = &["crash", "panic", "error"];
    let steps = [
        ("claimed", ALL),
        ("before_commit", DEATHS),
        ("after_commit", DEATHS),
        ("before_acknowledge", ALL),
        ("between_batches", ALL),
    ];
    let mut trials = Vec::new();
    for (step, actions) in steps {
        let name = format!("step_{step}");
        trials.push(embedded(&name, async move |ground| {
            faults::steps::fails(ground, step, actions).await;
        }));
        trials.push(services(&name, async move |ground| {
            faults::steps::fails(ground, step, actions).await;
        }));
    }
    // A file has no outbox.
    trials.push(services("step_before_outbox_delete", async |ground| {
        faults::steps::fails(ground, "before_outbox_delete", ALL).await;
    }));
    trials
}

/// A fault on the services that all tests share.
fn services<F>(name: &str, fault: F) -> Trial
where
    F: AsyncFnOnce(&mut Ground<'_>) + Send + 'static,
{
    let name = format!("services::{name}");
    let place = || Place::Services(Servers::shared());
    let row = row(&name);
    Trial::test(name, move || {
        play(place(), row, fault);
        Ok(())
    })
    .with_ignored_flag(true)
}

/// A fault of the services themselves, which are ones that nobody else uses.
fn own<F>(name: &str, fault: F) -> Trial
where
    F: AsyncFnOnce(&mut Ground<'_>, &Stores) + Send + 'static,
{
    let name = format!("services::{name}");
    let row = row(&name);
    Trial::test(name, move || {
        let turn = stores::turn();
        let stores = turn.stores();
        play(Place::Services(stores.servers()), row, async |ground| {
            fault(ground, &stores).await;
        });
        Ok(())
    })
    .with_ignored_flag(true)
}

/// A fault on one file.
fn embedded<F>(name: &str, fault: F) -> Trial
where
    F: AsyncFnOnce(&mut Ground<'_>) + Send + 'static,
{
    let name = format!("embedded::{name}");
    let row = row(&name);
    Trial::test(name, move || {
        play(Place::Embedded, row, fault);
        Ok(())
    })
}

fn row(fault: &str) -> Row {
    Row {
        fault: fault.to_owned(),
        ..Row::default()
    }
}

/// Plays a fault through, and keeps its row, however that ends.
fn play(place: Place, row: Row, fault: impl AsyncFnOnce(&mut Ground<'_>)) {
    let limit = Duration::from_secs(if plan::is_full() { 3600 } else { 600 });
    let row = Arc::new(Mutex::new(row));
    let played = catch_unwind(AssertUnwindSafe(|| {
        run_at(place, limit, async |site| {
            fault(&mut Ground::new(site, row.clone())).await;
        });
    }));
    let mut row = row.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if played.is_err() && row.is_clean() {
        row.add(|row| &mut row.strange, "the trial failed".into());
    }
    report::keep(row, &rows_file());
    if let Err(panic) = played {
        resume_unwind(panic);
    }
}

fn rows_file() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.unwrap_or(Path::new("target")).join("chaos.jsonl")
}
