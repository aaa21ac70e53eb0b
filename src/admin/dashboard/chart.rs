//! Lines over the last minutes, as inline SVG: no script draws them.
//!
//! The picture is stretched to whatever room there is, so texts stand beside it and not in it.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::super::history::CAPACITY;
use super::format::count;

/// Height of the picture in its own units. Its width is one unit per sample.
const HEIGHT: f64 = 100.0;

/// Line of a chart.
pub struct Series {
    /// Name in the legend.
    pub name: &'static str,
    /// Colour's name in the style sheet.
    pub class: &'static str,
    /// The oldest first; `None` is a gap.
    pub points: Vec<Option<f64>>,
}

/// The lines with their scale, and how much each is now.
pub fn draw(what: &str, unit: &str, lines: &[Series]) -> Markup {
    let highest = lines.iter().flat_map(|line| &line.points).flatten();
    let top = round_up(highest.fold(0.0, |top: f64, point| top.max(*point)));
    let now = |line: &Series| match line.points.last() {
        Some(Some(point)) => format!("{}{unit}", count(whole(*point))),
        _ => "–".to_owned(),
    };
    let text: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line.name, now(line)))
        .collect();
    html! {
        div.legend {
            @for line in lines {
                span {
                    i class={ "c-" (line.class) @if line.class == "accepted" { " dashed" } } {}
                    (line.name) " " b { (now(line)) }
                }
            }
        }
        div.plot {
            div.ys aria-hidden="true" { span { (count(whole(top))) } span { (half(top)) } span { "0" } }
            svg viewBox=(format!("0 0 {} {HEIGHT}", CAPACITY - 1)) preserveAspectRatio="none" role="img"
                aria-label=(format!("{what}: {}", text.join(", "))) {
                @for y in [0, 50, 100] {
                    line.grid x1="0" y1=(y) x2=(CAPACITY - 1) y2=(y) {}
                }
                @for line in lines {
                    @for run in runs(&line.points, top) {
                        path class={ "area " (line.class) } d=(run.area) {}
                        path class={ "line " (line.class) } d=(run.line) {}
                    }
                }
            }
            div.xs aria-hidden="true" { span { "10 min ago" } span { "now" } }
        }
    }
}

struct Run {
    line: String,
    area: String,
}

/// The unbroken parts of a line. The newest point is at the right edge.
fn runs(points: &[Option<f64>], top: f64) -> Vec<Run> {
    let skipped = CAPACITY.saturating_sub(points.len());
    let mut runs = Vec::new();
    let mut at = 0;
    for part in points.split(Option::is_none) {
        let (mut line, mut area) = (String::new(), String::new());
        for (index, point) in part.iter().enumerate() {
            let x = skipped + at + index;
            let y = HEIGHT - HEIGHT * point.unwrap_or_default() / top;
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(line, "{letter}{x} {y:.1}");
        }
        if !part.is_empty() {
            let (first, last) = (skipped + at, skipped + at + part.len() - 1);
            let _ = write!(area, "{line}L{last} {HEIGHT}L{first} {HEIGHT}Z");
            runs.push(Run { line, area });
        }
        at += part.len() + 1;
    }
    runs
}

/// The next of 10, 20, 50, 100, 200, …: a scale that is easily read, and does not jump about.
fn round_up(highest: f64) -> f64 {
    let mut top = 10.0;
    while top < highest {
        top = match top.log10().fract() {
            // Of 1, 2, 5.
            fraction if fraction < 0.1 => top * 2.0,
            fraction if fraction < 0.5 => top * 2.5,
            _ => top * 2.0,
        };
    }
    top
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and far below 2^53"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

fn half(top: f64) -> String {
    count(whole(top / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round() {
        for (highest, top) in [
            (0.0, 10.0),
            (11.0, 20.0),
            (21.0, 50.0),
            (99.0, 100.0),
            (101.0, 200.0),
            (4999.0, 5000.0),
        ] {
            assert!((round_up(highest) - top).abs() < 1e-6, "{highest}");
        }
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let runs = runs(&[Some(1.0), None, Some(2.0), Some(4.0)], 4.0);
        let lines: Vec<_> = runs.iter().map(|run| run.line.as_str()).collect();
        assert_eq!(lines, ["M296 75.0", "M298 50.0L299 0.0"]);
    }
}
