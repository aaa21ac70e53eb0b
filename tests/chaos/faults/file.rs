//! What happens to the file of the embedded backing. The process sees its folder by way of a mount of its own, in a user
//! namespace: no root is needed.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::{
    ground::Ground,
    plan::rounds,
    support::{Process, eventually},
};

/// How long the disk stays full.
const FULL: Duration = Duration::from_secs(2);

/// Becomes what follows, in namespaces of its own in which `mount` was run on the folder `$0`.
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

/// Becomes what follows, where the process is.
fn beside(process: &Process) -> Vec<String> {
    let pid = process.id().to_string();
    let words = ["nsenter", "--preserve-credentials", "--user", "--mount"];
    let words = words.into_iter().chain(["--target", &pid]);
    words.map(str::to_owned).collect()
}

fn data_folder(ground: &Ground<'_>) -> PathBuf {
    let file = ground.site.file();
    let folder = file.parent().expect("a folder").to_owned();
    fs::create_dir_all(&folder).expect("the test's folder takes folders");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Starts the program in a mount; `None` and what it said if it ended.
async fn start(ground: &Ground<'_>, mount: &str) -> (Process, bool) {
    let folder = data_folder(ground);
    let through = in_a_mount(mount, text(&folder));
    let settings = ground.settings(&[]);
    let mut process = ground.site.launch_through(&through, &["serve"], &settings);
    let up = process.comes_up().await;
    (process, up)
}

/// No byte more fits on the disk for a while.
pub async fn full_disk(ground: &mut Ground<'_>) {
    let mount = r#"mount -t tmpfs -o size=32m none "$0" && exec "$@""#;
    let (process, up) = start(ground, mount).await;
    assert!(
        up,
        "it ended; does the kernel forbid user namespaces?\n{}",
        process.output()
    );
    let far = format!("/proc/{}/root{}", process.id(), text(&data_folder(ground)));
    let ballast = Path::new(&far).join("ballast");
    ground.inside = beside(&process);
    ground.far_folder = Some(far.into());
    ground.fleet.push(process);
    ground.announce();
    for _ in 0..rounds(1, 5) {
        let load = ground.load().await;
        ground.strike(&load);
        fill(&ballast);
        let before = load.ledger.tally();
        tokio::time::sleep(FULL).await;
        let refused = load.ledger.tally().since(&before).not_created;
        fs::remove_file(&ballast).expect("the ballast is there");
        ground.heal(&load);
        assert!(refused > 0, "the disk was not full");
        ground.settle(load).await;
    }
}

fn fill(ballast: &Path) {
    let mut file = File::create(ballast).expect("there is room for a name");
    for size in [64 * 1024, 4096, 1] {
        let bytes = vec![0; size];
        while file.write_all(&bytes).is_ok() {}
    }
}

/// The file can be read and not written: writes are refused, nothing changes, and all is well once it can be written.
pub async fn read_only(ground: &mut Ground<'_>) {
    let mount = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
    ground.start(1).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load().await.pause().await;
        let chat = load.ledger.open_chats().remove(0);
        crate::rest::come(ground).await.expect("it comes to rest");
        ground.fleet.remove(0).kill();
        ground.strike(&load);

        let (process, up) = start(ground, mount).await;
        if up {
            let body = json!({"message": "hello"});
            let answer = process.post(format!("{chat}/message"), &body).await;
            assert_eq!(answer.status, 503, "{answer}");
            ground.note("it starts, and answers 503 to writes".into());
        } else {
            let output = process.output();
            assert!(output.contains("confab: "), "it gives no reason:\n{output}");
            ground.note(format!("it does not start: {}", output.trim()));
        }
        process.kill();

        ground.start(1).await;
        eventually("it takes writes", async || {
            let answer = ground
                .api()
                .post("/application", &json!({"username": "me"}))
                .await;
            if answer.status == 201 {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
        ground.heal(&load);
        ground.settle(load.resume()).await;
    }
}
