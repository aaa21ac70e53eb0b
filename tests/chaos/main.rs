//! The fault suite: runs the real binary under load, injects a fault, then compares everything.
//!
//! `make chaos` runs all rounds, `make test` a short form. At the end it prints one row per fault; `target/chaos.jsonl`
//! holds the same as JSON lines. `CONFAB_TEST_SEED` repeats the sizes, operations and times of a run.

#[path = "../support/mod.rs"]
mod support;

mod compare;
mod convergence;
mod dead_letters;
mod faults;
mod followers;
mod history;
mod load;
mod load_client;
mod plan;
mod report;
mod stores;
mod texts;
mod trial;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libtest_mimic::Arguments;

use self::{
    faults::{
        connection::{self, Store},
        failover, file, index, outage, process, stores as store_faults,
    },
    report::Row,
    stores::Stores,
    support::{Servers, StoreLocation, run_at},
    trial::Trial,
};

/// The default number of concurrent trials. More of them would be too much for two slow processors: leases would expire, and
/// calls would time out.
const THREADS: usize = 3;

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

/// All trials. Those with stores of their own run one at a time, so they are spread between the others.
fn trials() -> Vec<libtest_mimic::Trial> {
    let mut others = vec![
        services("process_killed", process::killed),
        services("one_of_two_processes_killed", process::one_of_two_killed),
        services("process_suspended", process::suspended),
        services("sigterm_under_load", process::terminated),
        services("index_deleted", index::deleted),
        services("index_rebuilt", index::rebuilt),
        services(
            "only_search_fails_without_elasticsearch",
            outage::elasticsearch_unreachable,
        ),
        services("known_chats_work_without_mysql", outage::mysql_unreachable),
        services("reads_work_without_redis", outage::redis_unreachable),
        services("redis_failover", failover::fails_over),
        services("redis_failover_to_lagging_replica", failover::replica_lags),
        services(
            "redis_failback_with_resynchronisation",
            failover::fails_back_with_resynchronisation,
        ),
        services(
            "redis_failback_without_resynchronisation",
            failover::fails_back_without_resynchronisation,
        ),
        services(
            "redis_failback_unnoticed",
            failover::fails_back_before_it_is_noticed,
        ),
        services(
            "redis_failover_demoted_still_answers",
            failover::demoted_still_answers,
        ),
        services(
            "redis_failover_by_sentinel",
            failover::sentinel_fails_over_and_back,
        ),
        services("redis_failover_two_masters", failover::two_masters),
        embedded("process_killed", process::killed_on_a_file),
        embedded("sigterm_under_load", process::terminated),
        embedded("disk_full", file::full_disk),
        embedded("file_read_only", file::read_only),
    ];
    let mut owners = vec![
        own("redis_emptied", store_faults::redis_emptied),
        own("redis_restored_to_older_data", store_faults::redis_restored),
    ];
    for (name, store) in [
        ("mysql", Store::Mysql),
        ("redis", Store::Redis),
        ("elasticsearch", Store::Elasticsearch),
    ] {
        others.push(services(
            &format!("{name}_unreachable"),
            async move |trial| {
                connection::unreachable(trial, store).await;
            },
        ));
        others.push(services(&format!("{name}_hangs"), async move |trial| {
            connection::hanging(trial, store).await;
        }));
        others.push(services(
            &format!("{name}_connections_cut_repeatedly"),
            async move |trial| {
                connection::cut(trial, store).await;
            },
        ));
        owners.push(own(
            &format!("{name}_killed"),
            async move |trial, stores| {
                store_faults::killed(trial, stores, name).await;
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
fn step_trials() -> Vec<libtest_mimic::Trial> {
    Vec::new()
}

#[cfg(feature = "breakpoints")]
fn step_trials() -> Vec<libtest_mimic::Trial> {
    const CRASHES: &[&str] = &["crash", "panic"];
    const ALL: &[&str] = &["crash", "panic", "error"];
    let steps = [
        ("claimed", ALL),
        ("before_commit", CRASHES),
        ("after_commit", CRASHES),
        ("before_acknowledge", ALL),
        ("between_batches", ALL),
    ];
    let mut trials = Vec::new();
    for (step, actions) in steps {
        let name = format!("step_{step}");
        trials.push(embedded(&name, async move |trial| {
            faults::steps::fails(trial, step, actions).await;
        }));
        trials.push(services(&name, async move |trial| {
            faults::steps::fails(trial, step, actions).await;
        }));
    }
    trials.push(services(
        "redis_failover_killed_while_an_epoch_begins",
        failover::killed_while_an_epoch_begins,
    ));
    // The file has no outbox.
    trials.push(services("step_before_outbox_delete", async |trial| {
        faults::steps::fails(trial, "before_outbox_delete", ALL).await;
    }));
    trials
}

/// A trial on the services that all tests share.
fn services<F>(name: &str, fault: F) -> libtest_mimic::Trial
where
    F: AsyncFnOnce(&mut Trial<'_>) + Send + 'static,
{
    let name = format!("services::{name}");
    let location = || StoreLocation::Services(Servers::shared());
    let row = row(&name);
    libtest_mimic::Trial::test(name, move || {
        run_trial(location(), row, fault);
        Ok(())
    })
    .with_ignored_flag(true)
}

/// A trial on services of its own, because the fault affects the services themselves.
fn own<F>(name: &str, fault: F) -> libtest_mimic::Trial
where
    F: AsyncFnOnce(&mut Trial<'_>, &Stores) + Send + 'static,
{
    let name = format!("services::{name}");
    let row = row(&name);
    libtest_mimic::Trial::test(name, move || {
        let guard = stores::acquire();
        let stores = guard.stores();
        run_trial(
            StoreLocation::Services(stores.servers()),
            row,
            async |trial| {
                fault(trial, &stores).await;
            },
        );
        Ok(())
    })
    .with_ignored_flag(true)
}

/// A trial on one file.
fn embedded<F>(name: &str, fault: F) -> libtest_mimic::Trial
where
    F: AsyncFnOnce(&mut Trial<'_>) + Send + 'static,
{
    let name = format!("embedded::{name}");
    let row = row(&name);
    libtest_mimic::Trial::test(name, move || {
        run_trial(StoreLocation::Embedded, row, fault);
        Ok(())
    })
}

fn row(fault: &str) -> Row {
    Row {
        fault: fault.to_owned(),
        ..Row::default()
    }
}

/// Runs a trial and keeps its row, also if it fails.
fn run_trial(location: StoreLocation, row: Row, fault: impl AsyncFnOnce(&mut Trial<'_>)) {
    let limit = Duration::from_secs(if plan::is_full() { 3600 } else { 600 });
    let row = Arc::new(Mutex::new(row));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run_at(location, limit, async |fixture| {
            fault(&mut Trial::new(fixture, row.clone())).await;
        });
    }));
    let mut row = row.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if outcome.is_err() && row.is_clean() {
        row.add(|row| &mut row.unexpected, "the trial failed".into());
    }
    report::keep(row, &rows_file());
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn rows_file() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.unwrap_or(Path::new("target")).join("chaos.jsonl")
}
