//! Tells what was found: a table on standard output, and files that are whole after each benchmark.
//!
//! - `json`: for programs
//! - `markdown`: for people, with the plots
//! - `plot`: bars against their targets, as SVG

mod json;
mod markdown;
mod plot;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    facts::Facts,
    measure::{Finding, Unit},
    target::{self, Verdict},
};

/// What was found so far.
#[derive(Debug)]
pub(crate) struct Report {
    folder: PathBuf,
    facts: Facts,
    /// Nothing is judged.
    smoke: bool,
    rows: Vec<Row>,
}

/// A figure and how it stands.
#[derive(Debug)]
struct Row {
    finding: Finding,
    verdict: Option<Verdict>,
}

impl Report {
    /// An empty one, whose files go into `folder`.
    ///
    /// # Errors
    /// When that cannot be made.
    pub(crate) fn new(folder: &Path, smoke: bool) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        Ok(Self { folder, facts: Facts::gather(), smoke, rows: Vec::new() })
    }

    /// Says where and on what this is measured.
    pub(crate) fn begin(&self) {
        for (name, value) in self.facts.lines() {
            println!("{name:<9} {value}");
        }
        println!("\n{:<28} {:>14} {:>21} {:>5}  {:<12} verdict", "figure", "median", "range", "runs", "target");
    }

    /// Tells the figures of a benchmark.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub(crate) fn add(&mut self, findings: Vec<Finding>) -> Result<()> {
        for finding in findings {
            let verdict = if self.smoke { None } else { target::judge(&finding) };
            let row = Row { finding, verdict };
            println!("{row}");
            self.rows.push(row);
        }
        self.write("bench.json", &json::write(&self.facts, &self.rows))?;
        let plots = plot::all(&self.facts, &self.rows);
        for (name, svg) in &plots {
            self.write(name, svg)?;
        }
        let names: Vec<_> = plots.into_iter().map(|(name, _)| name).collect();
        self.write("bench.md", &markdown::write(&self.facts, &self.rows, &names))
    }

    /// Says where the files are.
    pub(crate) fn end(&self) {
        println!("\n{}", self.folder.join("bench.md").display());
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Row {
    fn benchmark(&self) -> &str {
        self.finding.name.split('/').next().unwrap_or_default()
    }

    fn median(&self) -> String {
        let Finding { values, unit, .. } = &self.finding;
        format!("{} {}", number(values.median(), *unit), unit.sign()).trim_end().to_owned()
    }

    fn range(&self) -> String {
        let (low, high) = self.finding.values.range();
        if self.finding.values.len() == 1 {
            return String::new();
        }
        format!("{} – {}", number(low, self.finding.unit), number(high, self.finding.unit))
    }

    fn target(&self) -> String {
        let Some(Verdict { bound, .. }) = self.verdict else { return String::new() };
        format!("{} {} {}", bound.sign(), short(bound.limit()), self.finding.unit.sign()).trim_end().to_owned()
    }

    fn verdict(&self) -> String {
        self.verdict.map(|verdict| verdict.to_string()).unwrap_or_default()
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, runs) = (&self.finding.name, self.finding.values.len());
        let (median, range, target, verdict) = (self.median(), self.range(), self.target(), self.verdict());
        let line = format!("{name:<28} {median:>14} {range:>21} {runs:>5}  {target:<12} {verdict}");
        f.write_str(line.trim_end())
    }
}

/// As many digits as mean something.
fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Times => format!("{value:.3}"),
        Unit::Percent | Unit::Cores => format!("{value:.2}"),
        Unit::Millis | Unit::Kilobytes | Unit::Megabytes => format!("{value:.1}"),
        Unit::MegabytesPerSecond | Unit::PerSecond | Unit::Count => format!("{value:.0}"),
    }
}

/// Without digits that say nothing.
fn short(value: f64) -> String {
    format!("{value}")
}
