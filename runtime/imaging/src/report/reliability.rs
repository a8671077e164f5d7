//! Reliability diagrams: how often a prediction is right against how sure it says it is.

use super::plot::{Area, Axis, SIZE, Scale, figure, legend, rectangle, text};
use super::{Figure, Table, number};

/// One bin of confidences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// Lower edge, 0..=1.
    pub low: f64,
    /// Upper edge, 0..=1.
    pub high: f64,
    /// Mean confidence of its predictions; ignored where `count` is 0.
    pub confidence: f64,
    /// Share of its predictions that are right; ignored where `count` is 0.
    pub accuracy: f64,
    /// Number of predictions.
    pub count: u64,
}

/// A reliability diagram (DeGroot and Fienberg 1983) with the number of predictions per bin below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// Title.
    pub title: String,
    /// What to see or know, such as the calibration error; may be empty.
    pub remark: String,
    /// The bins, ascending.
    pub bins: Vec<ReliabilityBin>,
}

/// Height of the strip of counts below the diagram.
const STRIP: f64 = 58.0;

impl Reliability {
    /// The diagram as a figure: bars of accuracy, the gap to the mean confidence marked, the diagonal as
    /// perfect calibration; below, a bar per bin as its share of all predictions, the largest at full
    /// height.
    #[must_use]
    pub fn figure(&self) -> Figure {
        let scale = || Scale::new(&Axis::unit(""), std::iter::empty());
        let mut area = Area::new(scale(), scale());
        area.height -= 6.0;
        let mut svg = area.frame("", "Accuracy");
        let total: u64 = self.bins.iter().map(|bin| bin.count).fold(0, u64::saturating_add);
        let most = self.bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
        let base = area.top + area.height;
        // Where tick labels end and the strip begins.
        let (strip_top, strip_bottom) = (base + 26.0, base + 26.0 + STRIP);
        for bin in self.bins.iter().filter(|bin| bin.count > 0 && bin.accuracy.is_finite()) {
            let (left, right) = (area.across(bin.low), area.across(bin.high));
            let width = (right - left - 1.0).max(0.5);
            let accuracy = area.down(bin.accuracy);
            svg.push_str(&rectangle("bar c0", left, accuracy, width, base - accuracy));
            if bin.confidence.is_finite() {
                let confidence = area.down(bin.confidence);
                let height = (accuracy - confidence).abs();
                svg.push_str(&rectangle("gap", left, accuracy.min(confidence), width, height));
            }
            let height = (STRIP * bin.count as f64 / most as f64).max(0.6);
            svg.push_str(&rectangle("bar c6", left, strip_bottom - height, width, height));
        }
        let (x1, y1, x2, y2) = (area.across(0.0), area.down(0.0), area.across(1.0), area.down(1.0));
        svg.push_str(&format!("<path class=\"reference\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>\n"));
        let (left, right) = (area.left, area.left + area.width);
        let axis = format!("M{left:.1} {strip_top:.1}V{strip_bottom:.1}H{right:.1}");
        svg.push_str(&format!("<path class=\"axis\" d=\"{axis}\"/>\n"));
        let share = (1000.0 * most as f64 / total.max(1) as f64).round() / 10.0;
        svg.push_str(&text("tick", "end", left - 6.0, strip_top + 9.0, &format!("{} %", number(share))));
        svg.push_str(&text("tick", "end", left - 6.0, strip_bottom, "0"));
        let label = format!("Confidence (below: share of {total} predictions)");
        svg.push_str(&text("label", "middle", (left + right) / 2.0, strip_bottom + 20.0, &label));
        let mut remark = self.remark.clone();
        if total == 0 {
            remark.push_str(" (no predictions)");
        }
        let legend = legend(&[
            ("bar c0".into(), true, "accuracy".into()),
            ("gap".into(), true, "gap to mean confidence".into()),
            ("reference".into(), false, "perfectly calibrated".into()),
        ]);
        figure(&self.title, remark.trim_start(), &svg, SIZE.1 + STRIP, &legend, &self.data())
    }

    fn data(&self) -> Table {
        let mut table = Table::new("", &["Bin", "Confidence", "Accuracy", "Predictions"]);
        for bin in &self.bins {
            let shown = |value: f64| if bin.count == 0 { String::new() } else { number(value) };
            let range = format!("{}–{}", number(bin.low), number(bin.high));
            table.row([range, shown(bin.confidence), shown(bin.accuracy), bin.count.to_string()]);
        }
        table
    }
}
