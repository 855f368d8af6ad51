//! The report for programs.

use serde_json::{Value, json};

use super::Row;
use crate::facts::Facts;

/// The whole report.
pub(super) fn write(facts: &Facts, rows: &[Row]) -> String {
    let figures: Vec<_> = rows.iter().map(figure).collect();
    let report = json!({"machine": facts.json(), "figures": figures});
    format!("{report:#}\n")
}

fn figure(row: &Row) -> Value {
    let values = &row.finding.values;
    let (low, high) = values.range();
    let verdict = row.verdict.map(|verdict| {
        let margin = verdict.margin_percent;
        json!({"bound": verdict.bound.sign(), "limit": verdict.bound.limit(), "met": verdict.met, "margin_percent": margin})
    });
    json!({
        "name": row.finding.name, "what": row.finding.what, "unit": row.finding.unit.sign(), "runs": values.len(),
        "median": values.median(), "low": low, "high": high, "target": verdict,
    })
}
