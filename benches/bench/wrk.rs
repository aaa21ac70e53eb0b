//! Closed load, by wrk: each connection sends the next request when it has its answer.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    folder,
    requests::{Ask, Expect},
};

/// What wrk saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Answers.
    pub requests: f64,
    /// Answers in a second.
    pub per_second: f64,
    bytes_per_answer: f64,
}

/// A load that is prepared.
pub struct Load {
    file: PathBuf,
    expect: Option<Expect>,
}

impl Load {
    /// A load of these requests, in turn. Without expectations only statuses from 400 on are noticed.
    pub fn new(name: &str, asks: &[Ask], expect: Option<Expect>) -> Result<Self> {
        let file = folder().join(format!("{name}.requests"));
        let lines: Vec<String> = asks
            .iter()
            .map(|ask| format!("{} {} {}", ask.method, ask.path, ask.body))
            .collect();
        fs::write(&file, lines.join("\n"))?;
        Ok(Self { file, expect })
    }

    /// Has every answer checked for a moment, which also warms up. Tells how long an answer is, in bytes.
    pub fn check(&self, port: u16, connections: u32) -> Result<f64> {
        let checks = self.expect.map_or_else(Vec::new, |expect| {
            vec![
                expect.status.to_string(),
                expect.count.to_string(),
                expect.pattern.to_owned(),
            ]
        });
        Ok(self.wrk(port, connections, 1.0, &checks)?.bytes_per_answer)
    }

    /// Measures for so many seconds. What is timed is not read, but it must be as long as what was checked, `length`.
    pub fn run(&self, port: u16, connections: u32, seconds: f64, length: f64) -> Result<Seen> {
        let seen = self.wrk(port, connections, seconds, &[])?;
        ensure!(
            (0.95..1.05).contains(&(seen.bytes_per_answer / length)),
            "answers of {:.0} bytes, of {:.0} when they were checked",
            seen.bytes_per_answer,
            length
        );
        Ok(seen)
    }

    fn wrk(&self, port: u16, connections: u32, seconds: f64, checks: &[String]) -> Result<Seen> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench/load.lua");
        let output = tokio::task::block_in_place(|| {
            Command::new("wrk")
                .arg(format!("-t{}", connections.min(2)))
                .arg(format!("-c{connections}"))
                // wrk takes whole seconds.
                .arg(format!("-d{}s", seconds.round().max(1.0)))
                .args(["--timeout", "10s", "-s", script])
                .args([&format!("http://127.0.0.1:{port}"), "--"])
                .arg(&self.file)
                .args(checks)
                .output()
        })
        .context("wrk cannot be run: scripts/wrk.sh installs it")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(line) = text.lines().find_map(|line| line.strip_prefix("DONE ")) else {
            bail!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
        };
        let mut fields = line.splitn(6, ' ');
        let mut number = || -> Result<f64> {
            let field = fields.next().unwrap_or_default();
            field.parse().with_context(|| format!("wrk: {line}"))
        };
        let (requests, micros, bytes) = (number()?, number()?, number()?);
        let (broken, wrong) = (number()?, number()?);
        ensure!(requests > 0.0, "no answer within {seconds} s");
        ensure!(
            broken + wrong == 0.0,
            "{broken} requests without an answer, {wrong} answers that are wrong, such as: {}",
            fields.next().unwrap_or_default()
        );
        Ok(Seen {
            requests,
            per_second: requests / (micros / 1e6),
            bytes_per_answer: bytes / requests,
        })
    }
}
