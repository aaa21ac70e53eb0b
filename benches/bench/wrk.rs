//! Closed-loop load by wrk: each connection sends the next request after its response.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    folder,
    requests::{Expect, RequestSpec},
};

/// The result of a run of wrk.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    /// The number of responses.
    pub requests: f64,
    /// Responses per second.
    pub per_second: f64,
    bytes_per_answer: f64,
}

/// A prepared load.
pub struct Load {
    file: PathBuf,
    expect: Option<Expect>,
}

impl Load {
    /// Creates a load of these requests, sent in turn. Without expectations, only statuses from 400 on are errors.
    pub fn new(name: &str, specs: &[RequestSpec], expect: Option<Expect>) -> Result<Self> {
        let file = folder().join(format!("{name}.requests"));
        let lines: Vec<String> = specs
            .iter()
            .map(|spec| format!("{} {} {}", spec.method, spec.path, spec.body))
            .collect();
        fs::write(&file, lines.join("\n"))?;
        Ok(Self { file, expect })
    }

    /// Checks every response for a second, which also warms up. Returns the length of a response in bytes.
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

    /// Measures for a number of seconds. Responses are not read, but must be as long as the checked ones, `length`.
    pub fn run(
        &self,
        port: u16,
        connections: u32,
        seconds: f64,
        length: f64,
    ) -> Result<Measurement> {
        let measurement = self.wrk(port, connections, seconds, &[])?;
        ensure!(
            (0.95..1.05).contains(&(measurement.bytes_per_answer / length)),
            "answers of {:.0} bytes, of {:.0} when they were checked",
            measurement.bytes_per_answer,
            length
        );
        Ok(measurement)
    }

    fn wrk(
        &self,
        port: u16,
        connections: u32,
        seconds: f64,
        checks: &[String],
    ) -> Result<Measurement> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench/load.lua");
        let output = tokio::task::block_in_place(|| {
            Command::new("wrk")
                .arg(format!("-t{}", connections.min(2)))
                .arg(format!("-c{connections}"))
                // wrk accepts whole seconds only.
                .arg(format!("-d{}s", seconds.round().max(1.0)))
                .args(["--timeout", "10s", "-s", script])
                .args([&format!("http://127.0.0.1:{port}"), "--"])
                .arg(&self.file)
                .args(checks)
                .output()
        })
        .context(
            "wrk cannot be run: install it from the package wrk, or from https://github.com/wg/wrk",
        )?;
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
        Ok(Measurement {
            requests,
            per_second: requests / (micros / 1e6),
            bytes_per_answer: bytes / requests,
        })
    }
}
