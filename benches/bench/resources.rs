//! CPU time and memory of processes, from Linux' `/proc`.

use std::fs;

use serde::Serialize;

/// Clock ticks per second on Linux.
const TICKS: f64 = 100.0;

/// The resources that a process used during a measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ResourceUsage {
    /// CPU seconds per 1,000 requests.
    pub cpu_seconds_per_1000: f64,
    /// Peak resident memory in MiB.
    pub peak_mib: f64,
}

/// Monitors the resources of processes.
pub struct ResourceMonitor {
    monitored: Vec<(String, u32, f64)>,
}

impl ResourceMonitor {
    /// Starts to monitor processes, each with a name.
    pub fn begin(processes: Vec<(String, u32)>) -> Self {
        let monitored = processes.into_iter().map(|(name, pid)| {
            reset_peak(pid);
            (name, pid, cpu_seconds(pid))
        });
        Self {
            monitored: monitored.collect(),
        }
    }

    /// The resource usage of each process for a number of requests.
    pub fn end(self, requests: f64) -> Vec<(String, ResourceUsage)> {
        let usages = self.monitored.into_iter().map(|(name, pid, before)| {
            let taken = ResourceUsage {
                cpu_seconds_per_1000: (cpu_seconds(pid) - before) / requests.max(1.0) * 1000.0,
                peak_mib: peak_mib(pid),
            };
            (name, taken)
        });
        usages.collect()
    }
}

/// CPU seconds of all threads of a process so far; 0 if it does not exist.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may contain any character.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields = fields.split_whitespace().skip(11).take(2);
    fields
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

/// Resident memory in MiB.
pub fn resident_mib(pid: u32) -> f64 {
    status_mib(pid, "VmRSS:")
}

/// Peak resident memory in MiB.
pub fn peak_mib(pid: u32) -> f64 {
    status_mib(pid, "VmHWM:")
}

/// Resets the peak.
pub fn reset_peak(pid: u32) {
    // Not permitted for the process of another user: then the peak is the one since its start.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn status_mib(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| {
            rest.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<f64>()
                .ok()
        });
    kib.unwrap_or_default() / 1024.0
}

/// The process that listens on a port; `None` if it is on another machine or in a container.
pub fn listener(port: u16) -> Option<u32> {
    let comparisons = format!(":{port:04X}");
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // State 0A is listening.
            let listens = fields.get(1)?.ends_with(&comparisons) && *fields.get(3)? == "0A";
            listens.then(|| format!("socket:[{}]", fields[9]))
        })
        .collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for file in files.flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            if inodes
                .iter()
                .any(|inode| target.as_os_str() == inode.as_str())
            {
                // The proxy of a container is not the store.
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return (name.trim() != "docker-proxy").then_some(pid);
            }
        }
    }
    None
}
