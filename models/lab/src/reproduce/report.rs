//! Tables of a study: every figure as CSV, means and verdicts as Markdown.

use super::{Judgement, Record};
use std::fmt::Write;

/// One line per figure: group, arm, seed, figure, value.
#[must_use]
pub fn csv(records: &[Record]) -> String {
    let mut text = String::from("group,arm,seed,figure,value\n");
    for record in records {
        for (figure, value) in &record.figures {
            let Record { group, arm, seed, .. } = record;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{group},\"{arm}\",{seed},{figure},{value:.6}");
        }
    }
    text
}

/// Groups in alphabetical order, each with its arms in order of appearance.
pub(super) fn arms(records: &[Record]) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<&str> = records.iter().map(|record| record.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    let of = |group| {
        let mut arms: Vec<&str> = Vec::new();
        for record in records.iter().filter(|record| record.group == group) {
            if !arms.contains(&record.arm.as_str()) {
                arms.push(&record.arm);
            }
        }
        (group, arms)
    };
    groups.into_iter().map(of).collect()
}

/// The values of `figure` of one arm, in order of seeds.
pub(super) fn values(records: &[Record], group: &str, arm: &str, figure: &str) -> Vec<f64> {
    let mut own: Vec<&Record> =
        records.iter().filter(|record| record.group == group && record.arm == arm).collect();
    own.sort_by_key(|record| record.seed);
    own.iter().filter_map(|record| record.figures.get(figure).copied()).collect()
}

/// Mean and standard deviation over seeds per group, arm and column; then the verdicts.
#[must_use]
pub fn markdown(title: &str, columns: &[&str], records: &[Record], judgements: &[Judgement]) -> String {
    let mut text = format!("# {title}\n\nMeans over seeds, standard deviations in brackets.\n");
    for (group, arms) in arms(records) {
        let _ = writeln!(text, "\n## On {group}\n");
        let shown: Vec<&str> = columns
            .iter()
            .copied()
            .filter(|column| {
                records.iter().any(|own| own.group == group && own.figures.contains_key(*column))
            })
            .collect();
        let _ = writeln!(text, "| arm | {} |", shown.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(shown.len()));
        for arm in arms {
            let cells = shown.iter().map(|column| spread(&values(records, group, arm, column)));
            let _ = writeln!(text, "| {arm} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }
    text.push_str("\n## Claims\n\nDifferences with 95 % intervals, paired over seeds (bootstrap).\n\n");
    text.push_str("| claim | on | difference | interval | pairs | verdict |\n|---|---|---|---|---|---|\n");
    for Judgement { claim, group, pairs, difference, verdict } in judgements {
        let (estimate, low, high) = (difference.estimate, difference.low, difference.high);
        let _ = writeln!(
            text,
            "| {claim} | {group} | {estimate:+.4} | {low:+.4} … {high:+.4} | {pairs} | **{verdict}** |"
        );
    }
    text
}

fn spread(values: &[f64]) -> String {
    if values.is_empty() {
        return "–".into();
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    format!("{mean:.4} ({:.4})", (squares / (count - 1.0).max(1.0)).sqrt())
}
