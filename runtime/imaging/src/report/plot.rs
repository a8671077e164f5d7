//! What the plots share: scales with round ticks, the frame around the data, legends and the figure's
//! shell.

use super::{Figure, Table, escape, number};

/// Width and height of a plot in its own units; it scales with the page.
pub(super) const SIZE: (f64, f64) = (480.0, 320.0);

/// How many series colours and dash patterns there are; further series repeat them.
pub(super) const STYLES: usize = 8;

/// A named axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit.
    pub label: String,
    /// The interval shown; from the data where `None`.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// An axis that shows all data.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), range: None }
    }

    /// An axis from 0 to 1.
    #[must_use]
    pub fn unit(label: impl Into<String>) -> Self {
        Self { label: label.into(), range: Some((0.0, 1.0)) }
    }
}

/// An interval with round ticks inside it.
pub(super) struct Scale {
    pub low: f64,
    pub high: f64,
    ticks: Vec<String>,
    places: Vec<f64>,
}

impl Scale {
    /// A scale for `axis`; without a range of its own it spans `values`, widened to whole ticks.
    pub fn new(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let given = axis.range.filter(|(low, high)| low.is_finite() && high.is_finite() && low < high);
        let (mut low, mut high) = given.unwrap_or_else(|| {
            values
                .filter(|value| value.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                    (low.min(value), high.max(value))
                })
        });
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Also keeps a constant, and a span beyond what f64 can hold, drawable.
        if low == high || !(high - low).is_finite() {
            let margin = (low.abs() * 0.1).clamp(0.5, 1e300);
            (low, high) = (low.max(-1e300) - margin, low.clamp(-1e300, 1e300) + margin);
        }
        let step = round_step((high - low) / 5.0);
        if given.is_none() {
            (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        }
        let first = (low / step - 1e-6).ceil();
        let places: Vec<f64> = (0..12)
            .map(|tick| (first + f64::from(tick)) * step)
            .take_while(|&at| at <= high + step * 1e-6)
            .collect();
        // A sum of steps may miss zero by a rounding error, which would print as -0 or 1e-17.
        let ticks = places.iter().map(|&at| number(if at.abs() < step * 1e-6 { 0.0 } else { at })).collect();
        Self { low, high, ticks, places }
    }

    /// Where a value lies: 0 at the low end, 1 at the high end, clipped.
    pub fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, the smallest not below `rough`.
fn round_step(rough: f64) -> f64 {
    let mut power = 10f64.powi(rough.log10().floor() as i32);
    if !power.is_finite() || power <= 0.0 {
        power = f64::MIN_POSITIVE;
    }
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= rough * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// The rectangle that data is drawn in, and its scales.
pub(super) struct Area {
    pub x: Scale,
    pub y: Scale,
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Area {
    pub fn new(x: Scale, y: Scale) -> Self {
        let longest = y.ticks.iter().map(|tick| tick.chars().count()).max().unwrap_or(0);
        let left = 34.0 + 6.2 * longest as f64;
        Self { x, y, left, top: 10.0, width: SIZE.0 - left - 14.0, height: SIZE.1 - 10.0 - 44.0 }
    }

    pub fn across(&self, value: f64) -> f64 {
        self.left + self.x.place(value) * self.width
    }

    pub fn down(&self, value: f64) -> f64 {
        self.top + (1.0 - self.y.place(value)) * self.height
    }

    /// Grid, ticks and label of the horizontal axis alone; the label's baseline lies at `label_y`.
    pub fn ticks_below(&self, label: &str, label_y: f64) -> String {
        let bottom = self.top + self.height;
        let mut svg = String::new();
        for (tick, &at) in self.x.ticks.iter().zip(&self.x.places) {
            let x = self.across(at);
            svg.push_str(&format!("<path class=\"grid\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>", self.top));
            let y = bottom + 16.0;
            svg.push_str(&text("tick", "middle", x, y, tick));
        }
        svg.push_str(&text("label", "middle", self.left + self.width / 2.0, label_y, label));
        svg
    }

    /// Grid, ticks and labels of both axes.
    pub fn frame(&self, x_label: &str, y_label: &str) -> String {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        let mut svg = self.ticks_below(x_label, SIZE.1 - 6.0);
        for (tick, &at) in self.y.ticks.iter().zip(&self.y.places) {
            let y = self.down(at);
            svg.push_str(&format!("<path class=\"grid\" d=\"M{:.1} {y:.1}H{right:.1}\"/>", self.left));
            svg.push_str(&text("tick", "end", self.left - 7.0, y + 4.0, tick));
        }
        svg.push_str(&format!(
            "<path class=\"axis\" d=\"M{:.1} {:.1}V{bottom:.1}H{right:.1}\"/>\n",
            self.left, self.top
        ));
        let (x, y) = (13.0, self.top + self.height / 2.0);
        svg.push_str(&format!("<g transform=\"translate({x:.1} {y:.1}) rotate(-90)\">"));
        svg.push_str(&text("label", "middle", 0.0, 0.0, y_label));
        svg.push_str("</g>\n");
        svg
    }
}

/// Escaped text with its baseline at (x, y); `anchor` is `start`, `middle` or `end`.
pub(super) fn text(class: &str, anchor: &str, x: f64, y: f64, content: &str) -> String {
    let content = escape(content);
    format!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>\n")
}

/// A rectangle by its upper left corner.
pub(super) fn rectangle(class: &str, x: f64, y: f64, width: f64, height: f64) -> String {
    let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
    format!("<rect class=\"{class}\" {place}/>\n")
}

/// A legend of named swatches by the styles of the series; none for a single series.
pub(super) fn series_legend<'a>(names: impl ExactSizeIterator<Item = &'a str>, filled: bool) -> String {
    if names.len() < 2 {
        return String::new();
    }
    let entry = |(index, name): (usize, &'a str)| {
        let style = index % STYLES;
        let class = if filled { format!("area c{style}") } else { format!("line c{style} d{style}") };
        (class, filled, name.to_string())
    };
    legend(&names.enumerate().map(entry).collect::<Vec<_>>())
}

/// A legend: class of the swatch, whether it is an area rather than a line, and what it means.
pub(super) fn legend(entries: &[(String, bool, String)]) -> String {
    let mut html = String::from("<ul class=\"legend\">\n");
    for (class, filled, name) in entries {
        let swatch = if *filled {
            rectangle(class, 1.0, 1.0, 26.0, 8.0)
        } else {
            format!("<path class=\"{class}\" d=\"M1 5H27\"/>\n")
        };
        html.push_str("<li><svg viewBox=\"0 0 28 10\" aria-hidden=\"true\">\n");
        html.push_str(&format!("{swatch}</svg>{}</li>\n", escape(name)));
    }
    html.push_str("</ul>\n");
    html
}

/// The figure around a drawing: title, remark, the drawing with a text for those who do not see it, legend,
/// data.
pub(super) fn figure(
    title: &str,
    remark: &str,
    drawing: &str,
    height: f64,
    legend: &str,
    data: &Table,
) -> Figure {
    let (title, remark) = (escape(title), escape(remark));
    let span = if remark.is_empty() { String::new() } else { format!("<span>{remark}</span>") };
    let html = format!(
        "<figure>\n<figcaption>{title}{span}</figcaption>\n\
         <svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}. {remark}\">\n\
         {drawing}</svg>\n{legend}<details><summary>Data</summary>{table}</details>\n</figure>\n",
        width = SIZE.0,
        table = data.html(),
    );
    Figure { html }
}

/// In place of data where there is none.
pub(super) fn no_data() -> String {
    text("label", "middle", SIZE.0 / 2.0, SIZE.1 / 2.0, "no data")
}
