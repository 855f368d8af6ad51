//! The report for people.

use std::fmt::Write as _;

use super::Row;
use crate::facts::Facts;

/// The whole report, with these plots.
pub(super) fn write(facts: &Facts, rows: &[Row], plots: &[String]) -> String {
    let mut text = "# Benchmarks\n\n".to_owned();
    for (name, value) in facts.lines() {
        line(&mut text, format_args!("- {name}: {value}"));
    }
    text.push_str("\n| figure | what | median | range | runs | target | |\n|---|---|---:|---:|---:|---|---|\n");
    for row in rows {
        let (name, what, runs) = (&row.finding.name, &row.finding.what, row.finding.values.len());
        let (median, range, target, verdict) = (row.median(), row.range(), row.target(), row.verdict());
        line(&mut text, format_args!("| `{name}` | {what} | {median} | {range} | {runs} | {target} | {verdict} |"));
    }
    for plot in plots {
        line(&mut text, format_args!("\n![{plot}]({plot})"));
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes every write");
}
