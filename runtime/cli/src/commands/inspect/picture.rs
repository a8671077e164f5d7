//! Draws a schedule: which tensor holds which bytes of the arena when, as a picture that stands alone.

use candor::planner::Planned;
use candor_core::plan::{Plan, PlanError};
use candor_imaging::report::escape;
use std::fmt::Write;

/// Width and height of the drawing area, and the margin around it, in the picture's own units.
const AREA: [f64; 2] = [960.0, 420.0];
const MARGIN: f64 = 56.0;

/// An SVG of the arena over time: one box per tensor, from its first row to its last use.
///
/// # Errors
/// [`PlanError`]; never for a plan that was parsed.
pub fn draw(plan: &Plan<'_>, planned: &Planned) -> Result<String, PlanError> {
    let end = planned.stretches.last().map_or(1, |&last| last as usize + 1);
    let bytes = planned.arena_bytes().max(1);
    let x = |stretch: usize| MARGIN + stretch as f64 / end as f64 * AREA[0];
    let y = |byte: usize| MARGIN + AREA[1] - byte as f64 / bytes as f64 * AREA[1];
    let [width, height] = AREA.map(|side| side + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<title>Arena over time</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let writers = writers(plan)?;
    for (tensor, life) in planned.lifetimes.iter().enumerate().filter(|(_, life)| life.bytes > 0) {
        let place = planned.schedule().places[tensor];
        let layout = place.layout;
        let (left, right) = (x(life.first), x(life.last + 1));
        let (top, bottom) = (y(place.offset + life.bytes), y(place.offset));
        let name = writers[tensor].map_or_else(|| "input".to_string(), |(step, op)| format!("{step} {op}"));
        let label = format!(
            "{name}: {} of {} rows, {}x{}x{}, {} bytes",
            place.slots.min(layout.stored_rows()),
            layout.stored_rows(),
            layout.channels,
            layout.height,
            layout.width,
            life.bytes
        );
        let hue = writers[tensor].map_or(0, |(step, _)| 20 + step * 47 % 320);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<g><title>{}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"hsl({hue} 55% 72%)\" stroke=\"#444\" stroke-width=\"0.5\"/>",
            escape(&label),
            (right - left).max(0.5),
            (bottom - top).max(0.5),
        );
        if bottom - top > 12.0 && right - left > 7.0 * name.len() as f64 {
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", left + 4.0, top + 11.0);
        }
        svg.push_str("</g>\n");
    }
    axes(&mut svg, bytes, y);
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// Frame, byte marks and captions.
fn axes(svg: &mut String, bytes: usize, y: impl Fn(usize) -> f64) {
    let [right, bottom] = AREA.map(|side| side + MARGIN);
    let _ = writeln!(
        svg,
        "<rect x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#222\"/>",
        AREA[0], AREA[1]
    );
    for quarter in 0..=4 {
        let byte = bytes * quarter / 4;
        let mebibytes = byte as f64 / f64::from(1 << 20);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mebibytes:.2}</text>",
            MARGIN - 6.0,
            y(byte) + 4.0
        );
    }
    let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{}\">MiB of arena ({bytes} bytes)</text>", MARGIN - 14.0);
    let _ = writeln!(
        svg,
        "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">one frame, in the order in which rows are computed \
         \u{2192}</text>",
        bottom + 20.0
    );
}

/// The last step that writes each tensor, and its operator.
fn writers(plan: &Plan<'_>) -> Result<Vec<Option<(usize, &'static str)>>, PlanError> {
    let mut writers = vec![None; plan.tensors()];
    for index in 0..plan.steps() {
        let step = plan.step(index)?;
        writers[step.output] = Some((index, step.op.name()));
    }
    Ok(writers)
}

#[cfg(test)]
mod tests;
