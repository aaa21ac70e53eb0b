//! The report: a table, and a JSON file.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use serde_json::{Value, json};

use crate::resources::ResourceUsage;

/// All measurements, in the order in which they were begun.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    failures: Vec<String>,
}

struct Row {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    comparisons: Vec<Comparison>,
    usages: BTreeMap<String, Vec<ResourceUsage>>,
}

/// A comparison of a row.
#[derive(Clone)]
struct Comparison {
    /// The row to compare with; `None` for an absolute bound.
    of: Option<String>,
    bound: Option<Bound>,
}

/// The target of a value.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// At least this multiple of the other row.
    Least(f64),
    /// At most this value.
    Most(f64),
    /// At most this multiple of the other row plus a value.
    MostOf(f64, f64),
}

impl Row {
    fn median(&self) -> f64 {
        median(&self.values)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

impl Report {
    /// Adds the value of one round, and prints it.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        eprintln!("  {name}: {} {unit}", number(value));
        self.row(name, unit).values.push(value);
    }

    /// Adds the resource usage of the processes.
    pub fn add_usages(&mut self, name: &str, usages: Vec<(String, ResourceUsage)>) {
        let row = self.row(name, "");
        for (process, used) in usages {
            row.usages.entry(process).or_default().push(used);
        }
    }

    /// Compares a row with another one, with or without a target.
    pub fn compare(&mut self, name: &str, of: &str, bound: Option<Bound>) {
        let row = self.row(name, "");
        if !row
            .comparisons
            .iter()
            .any(|comparison| comparison.of.as_deref() == Some(of))
        {
            let of = Some(of.to_owned());
            row.comparisons.push(Comparison { of, bound });
        }
    }

    /// Sets an absolute bound of a row.
    pub fn set_bound(&mut self, name: &str, most: f64) {
        let row = self.row(name, "");
        if row.comparisons.is_empty() {
            let bound = Some(Bound::Most(most));
            row.comparisons.push(Comparison { of: None, bound });
        }
    }

    /// Records that a part failed.
    pub fn fail(&mut self, group: &str, error: &anyhow::Error) {
        eprintln!("  {group} failed: {error:#}");
        self.failures.push(format!("{group}: {error:#}"));
    }

    /// Tells whether every part was measured.
    pub fn is_whole(&self) -> bool {
        self.failures.is_empty()
    }

    fn row(&mut self, name: &str, unit: &'static str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.into(),
                unit,
                values: Vec::new(),
                comparisons: Vec::new(),
                usages: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        if row.unit.is_empty() {
            row.unit = unit;
        }
        row
    }

    /// The ratio to the other row, and whether the target is met.
    fn evaluate(&self, row: &Row, comparison: &Comparison) -> (Option<f64>, Option<bool>) {
        let of = comparison
            .of
            .as_ref()
            .and_then(|of| self.rows.iter().find(|row| row.name == *of));
        let ratio = of.map(|of| row.median() / of.median());
        let met = match (comparison.bound, of) {
            (Some(Bound::Least(times)), Some(_)) => ratio.map(|ratio| ratio >= times),
            (Some(Bound::Most(most)), _) => Some(row.median() <= most),
            (Some(Bound::MostOf(times, more)), Some(of)) => {
                Some(row.median() <= of.median() * times + more)
            }
            _ => None,
        };
        (ratio, met)
    }

    /// Prints the table.
    pub fn print(&self) {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.chars().count())
            .max()
            .unwrap_or(0);
        println!(
            "\n{:width$} {:>10} {:>21} {:6} {:>6}  of; target",
            "median of the rounds", "", "from … to", "", "ratio"
        );
        for row in self.rows.iter().filter(|row| !row.values.is_empty()) {
            let (low, high) = spread(&row.values);
            let range = if row.values.len() > 1 {
                format!("{} … {}", number(low), number(high))
            } else {
                String::new()
            };
            let mut line = format!(
                "{:width$} {:>10} {range:>21} {:6}",
                row.name,
                number(row.median()),
                row.unit
            );
            for comparison in &row.comparisons {
                let (ratio, met) = self.evaluate(row, comparison);
                let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
                let of = comparison.of.as_deref().unwrap_or_default();
                let target = comparison
                    .bound
                    .map_or(String::new(), |bound| target(bound, row.unit));
                let met = met.map_or("", |met| if met { ": met" } else { ": MISSED" });
                println!(
                    "{line} {ratio:>6}  {of}{}{target}{met}",
                    if of.is_empty() || target.is_empty() {
                        ""
                    } else {
                        "; "
                    }
                );
                line = " ".repeat(line.chars().count());
            }
            if row.comparisons.is_empty() {
                println!("{}", line.trim_end());
            }
        }
        self.print_uses(width);
        for failure in &self.failures {
            println!("\nNOT MEASURED: {failure}");
        }
    }

    fn print_uses(&self, width: usize) {
        let processes = ["confab", "mysql", "redis", "elasticsearch"];
        println!(
            "\n{:width$} {:>22} {:>22} {:>22} {:>22}",
            "CPU seconds per 1,000; peak MiB",
            processes[0],
            processes[1],
            processes[2],
            processes[3]
        );
        for row in self.rows.iter().filter(|row| !row.usages.is_empty()) {
            print!("{:width$}", row.name);
            for process in processes {
                let cell = row.usages.get(process).map_or(String::new(), |usages| {
                    let (cpu, peak) = usage(usages);
                    format!("{cpu:.4} s {peak:8.1} MiB")
                });
                print!(" {cell:>22}");
            }
            println!();
        }
    }

    /// Writes the JSON file.
    pub fn write(&self, file: &Path) -> Result<()> {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .filter(|row| !row.values.is_empty())
            .map(|row| self.row_json(row))
            .collect();
        let all = json!({ "rows": rows, "not_measured": self.failures });
        fs::write(file, serde_json::to_string_pretty(&all)?)?;
        println!("\n{}", file.display());
        Ok(())
    }

    fn row_json(&self, row: &Row) -> Value {
        let held: Vec<Value> = row
            .comparisons
            .iter()
            .map(|comparison| {
                let (ratio, met) = self.evaluate(row, comparison);
                let target = comparison.bound.map(|bound| target(bound, row.unit));
                json!({"of": comparison.of, "ratio": ratio, "target": target, "met": met})
            })
            .collect();
        let usages: BTreeMap<&String, Value> = row
            .usages
            .iter()
            .map(|(process, usages)| {
                let (cpu, peak) = usage(usages);
                (
                    process,
                    json!({"cpu_seconds_per_1000": cpu, "peak_mib": peak}),
                )
            })
            .collect();
        json!({
            "name": row.name, "unit": row.unit, "median": row.median(), "rounds": row.values, "held_against": held,
            "uses": usages,
        })
    }
}

/// Median processor time, and the highest peak.
fn usage(usages: &[ResourceUsage]) -> (f64, f64) {
    let cpu: Vec<f64> = usages
        .iter()
        .map(|used| used.cpu_seconds_per_1000)
        .collect();
    (
        median(&cpu),
        usages.iter().map(|used| used.peak_mib).fold(0.0, f64::max),
    )
}

fn spread(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (
        low,
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

fn target(bound: Bound, unit: &str) -> String {
    match bound {
        Bound::Least(times) => format!("at least {times}"),
        Bound::Most(most) => format!("at most {most} {unit}"),
        Bound::MostOf(times, more) => format!("at most {times} × and {more} {unit}"),
    }
}

/// Formats a number with at least three digits and thousands separators.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
