//! The picture of a study: per group and figure, every seed of every arm as a dot, means as ticks.

use super::Record;
use super::report::{arms, values};
use std::fmt::Write;

/// Pixels of a row, of the names, of a panel, and around everything.
const ROW: usize = 16;
const NAMES: usize = 260;
const PANEL: usize = 180;
const MARGIN: usize = 24;

/// An SVG picture of `columns`.
#[must_use]
pub fn svg(title: &str, columns: &[&str], records: &[Record]) -> String {
    let groups = arms(records);
    let rows: usize = groups.iter().map(|(_, arms)| arms.len() + 3).sum();
    let (width, height) = (NAMES + columns.len() * PANEL + MARGIN, (rows + 2) * ROW + MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    label(&mut text, MARGIN / 2, ROW, "start", title);
    let mut top = 2 * ROW;
    for (group, arms) in groups {
        label(&mut text, MARGIN / 2, top + ROW, "start", &format!("on {group}"));
        for (at, arm) in arms.iter().enumerate() {
            label(&mut text, NAMES - 8, top + (at + 2) * ROW, "end", arm);
        }
        for (at, figure) in columns.iter().enumerate() {
            panel(&mut text, [NAMES + at * PANEL, top], records, group, &arms, figure);
        }
        top += (arms.len() + 3) * ROW;
    }
    text.push_str("</svg>\n");
    text
}

fn label(text: &mut String, x: usize, y: usize, anchor: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{what}</text>");
}

/// One figure of one group, from the lowest to the highest value of any arm.
fn panel(
    text: &mut String,
    [left, top]: [usize; 2],
    records: &[Record],
    group: &str,
    arms: &[&str],
    figure: &str,
) {
    let all: Vec<Vec<f64>> = arms.iter().map(|arm| values(records, group, arm, figure)).collect();
    let low = all.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return;
    }
    label(text, left + PANEL / 2, top + ROW, "middle", figure);
    let inner = (PANEL - MARGIN) as f64;
    let across = |value: f64| left as f64 + 4.0 + inner * (value - low) / (high - low).max(1e-12);
    for (at, values) in all.iter().enumerate() {
        let y = top + (at + 2) * ROW - 4;
        let end = left as f64 + 4.0 + inner;
        let _ = writeln!(text, "<path d=\"M{left} {y}H{end:.1}\" stroke=\"#ddd\"/>");
        for value in values {
            let x = across(*value);
            let _ = writeln!(
                text,
                "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"2.5\" fill=\"#2a6f97\" fill-opacity=\"0.45\"/>"
            );
        }
        if !values.is_empty() {
            let x = across(values.iter().sum::<f64>() / values.len() as f64);
            let _ = writeln!(
                text,
                "<path d=\"M{x:.1} {}V{}\" stroke=\"#c1121f\" stroke-width=\"2\"/>",
                y - 6,
                y + 6
            );
        }
    }
    let foot = top + (arms.len() + 2) * ROW;
    label(text, left + 4, foot, "start", &format!("{low:.3}"));
    label(text, left + PANEL - MARGIN + 4, foot, "end", &format!("{high:.3}"));
}
