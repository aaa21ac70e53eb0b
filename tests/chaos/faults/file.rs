//! Faults of the file of the embedded backend. The process sees its folder through a mount in a user namespace, so that
//! no root is needed.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::{
    plan::rounds,
    support::{Process, eventually},
    trial::Trial,
};

/// The time for which the disk is full, from the first refused creation on.
const FULL: Duration = Duration::from_secs(2);

/// The command prefix that runs `mount` on the folder `$0` in new namespaces.
fn in_a_mount<'a>(mount: &'a str, folder: &'a str) -> [&'a str; 8] {
    [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mount,
        folder,
    ]
}

/// The command prefix that enters the namespaces of a process.
fn enter_namespaces(process: &Process) -> Vec<String> {
    let pid = process.id().to_string();
    let words = ["nsenter", "--preserve-credentials", "--user", "--mount"];
    let words = words.into_iter().chain(["--target", &pid]);
    words.map(str::to_owned).collect()
}

fn data_folder(trial: &Trial<'_>) -> PathBuf {
    let file = trial.fixture.file();
    let folder = file.parent().expect("a folder").to_owned();
    fs::create_dir_all(&folder).expect("the test's folder takes folders");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Starts the program in a mount. Returns whether it came up.
async fn start(trial: &Trial<'_>, mount: &str) -> (Process, bool) {
    let folder = data_folder(trial);
    let wrapper = in_a_mount(mount, text(&folder));
    let settings = trial.settings(&[]);
    let mut process = trial
        .fixture
        .launch_wrapped(&wrapper, &["serve"], &settings);
    let up = process.wait_until_up().await;
    (process, up)
}

/// The disk is full for a while.
pub async fn full_disk(trial: &mut Trial<'_>) {
    let mount = r#"mount -t tmpfs -o size=32m none "$0" && exec "$@""#;
    let (process, up) = start(trial, mount).await;
    assert!(
        up,
        "it ended; does the kernel forbid user namespaces?\n{}",
        process.output()
    );
    let far = format!("/proc/{}/root{}", process.id(), text(&data_folder(trial)));
    let ballast = Path::new(&far).join("ballast");
    trial.command_prefix = enter_namespaces(&process);
    trial.mounted_folder = Some(far.into());
    trial.processes.push(process);
    trial.update_pool();
    for _ in 0..rounds(1, 5) {
        let load = trial.load().await;
        trial.inject(&load);
        fill(&ballast);
        let before = load.history.tally();
        // The log may have room for some more writes.
        eventually("a creation is refused", async || {
            let tally = load.history.tally().since(&before);
            if tally.not_created > 0 {
                Ok(())
            } else {
                Err(tally)
            }
        })
        .await;
        tokio::time::sleep(FULL).await;
        fs::remove_file(&ballast).expect("the ballast is there");
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

fn fill(ballast: &Path) {
    let mut file = File::create(ballast).expect("the file can be created");
    for size in [64 * 1024, 4096, 1] {
        let bytes = vec![0; size];
        while file.write_all(&bytes).is_ok() {}
    }
}

/// The file is read-only: writes are rejected, nothing changes, and writes succeed after the file is writable again.
pub async fn read_only(trial: &mut Trial<'_>) {
    let mount = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
    trial.start(1).await;
    for _ in 0..rounds(1, 5) {
        let load = trial.load().await.pause().await;
        let chat = load.history.open_chats().remove(0);
        crate::convergence::wait(trial).await.expect("it converges");
        trial.processes.remove(0).kill();
        trial.inject(&load);

        let (process, up) = start(trial, mount).await;
        if up {
            let body = json!({"message": "hello"});
            let response = process.post(format!("{chat}/message"), &body).await;
            assert_eq!(response.status, 503, "{response}");
            trial.note("it starts, and answers 503 to writes".into());
        } else {
            let output = process.output();
            assert!(output.contains("confab: "), "it gives no reason:\n{output}");
            trial.note(format!("it does not start: {}", output.trim()));
        }
        process.kill();

        trial.start(1).await;
        eventually("it accepts writes", async || {
            let response = trial
                .api()
                .post("/application", &json!({"username": "me"}))
                .await;
            if response.status == 201 {
                Ok(())
            } else {
                Err(response)
            }
        })
        .await;
        trial.clear(&load);
        trial.finish_round(load.resume()).await;
    }
}
