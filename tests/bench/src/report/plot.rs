//! Bars as SVG, by hand: a row a figure, as long as its part of the target, with a line where the target is.
//!
//! A bar of 60 % has 40 % to spare. Figures without a target are not drawn: they have nothing in common to be drawn to.

use std::fmt::Write as _;

use super::Row;
use crate::{facts::Facts, measure::count, target::Bound};

const WIDTH: f64 = 860.0;
const LABEL: f64 = 230.0;
const VALUE: f64 = 190.0;
const ROW: f64 = 26.0;
const TOP: f64 = 34.0;
const LINE: f64 = 18.0;

/// What is drawn goes up to this many times the target; longer bars are cut.
const SCALE: f64 = 2.0;

/// A plot a benchmark, with the name of its file.
pub(super) fn all(facts: &Facts, rows: &[Row]) -> Vec<(String, String)> {
    let mut names: Vec<_> = rows.iter().filter(|row| row.verdict.is_some()).map(Row::benchmark).collect();
    names.dedup();
    names.into_iter().map(|name| (format!("{name}.svg"), plot(name, facts, rows))).collect()
}

fn plot(benchmark: &str, facts: &Facts, rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.benchmark() == benchmark && row.verdict.is_some()).collect();
    let lines = facts.lines();
    let end = TOP + ROW * count(rows.len());
    let height = end + LINE * count(lines.len()) + 12.0;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' font-family='sans-serif' font-size='13'>\n\
         <rect width='{WIDTH}' height='{height}' fill='white'/>\n"
    );
    text(&mut svg, 8.0, 20.0, &format!("{benchmark}: part of the target that is used (shorter is better)"));
    let target = LABEL + (WIDTH - LABEL - VALUE) / SCALE;
    for (number, row) in rows.iter().enumerate() {
        bar(&mut svg, row, TOP + ROW * count(number));
    }
    let (top, bottom) = (TOP - 4.0, end);
    element(
        &mut svg,
        &format!(
            "<line x1='{target:.0}' y1='{top}' x2='{target:.0}' y2='{bottom}' stroke='#333' stroke-dasharray='4 3'/>"
        ),
    );
    for (number, (name, value)) in lines.iter().enumerate() {
        text(&mut svg, 8.0, end + LINE * count(number + 1), &format!("{name}: {value}"));
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, row: &Row, y: f64) {
    let Some(verdict) = row.verdict else { return };
    let length = used(verdict.bound, row.finding.values.median()).clamp(0.0, SCALE);
    let width = length * (WIDTH - LABEL - VALUE) / SCALE;
    let colour = if verdict.met { "#4a8f5c" } else { "#c0504d" };
    element(svg, &format!("<rect x='{LABEL}' y='{y:.0}' width='{width:.1}' height='18' fill='{colour}'/>"));
    text(svg, 8.0, y + 14.0, &row.finding.name);
    text(svg, WIDTH - VALUE + 8.0, y + 14.0, &format!("{} ({})", row.median(), row.target()));
}

/// The part of the target that is used: 1 is the target itself.
fn used(bound: Bound, value: f64) -> f64 {
    match bound {
        Bound::AtMost(limit) if limit > 0.0 => value / limit,
        Bound::AtLeast(limit) if value > 0.0 => limit / value,
        // Of a target of nothing everything is too much.
        Bound::AtMost(_) if value <= 0.0 => 0.0,
        Bound::AtMost(_) | Bound::AtLeast(_) => SCALE,
    }
}

fn text(svg: &mut String, x: f64, y: f64, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    element(svg, &format!("<text x='{x:.0}' y='{y:.0}'>{text}</text>"));
}

fn element(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{Finding, Unit},
        target,
    };

    #[test]
    fn a_bar_is_drawn_for_each_figure_that_has_a_target() {
        let row = |name, value| {
            let finding = Finding::single(name, "", Unit::Times, value);
            Row { verdict: target::judge(&finding), finding }
        };
        let rows = [row("upload/file", 0.5), row("upload/other", 1.0), row("submit/sqlite", 0.1)];
        let plots = all(&Facts::gather(), &rows);
        let names: Vec<_> = plots.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["upload.svg", "submit.svg"]);
        assert!(plots[0].1.contains("upload/file") && !plots[0].1.contains("upload/other"), "{}", plots[0].1);
        assert!(plots[0].1.contains("width='110.0'") && plots[1].1.contains("width='440.0'"), "{plots:?}");
    }
}
