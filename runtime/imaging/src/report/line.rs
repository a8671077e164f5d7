//! Line plots with several series: ROC, risk–coverage, sweeps, scores over time.

use super::plot::{Area, Axis, STYLES, Scale, figure, no_data, series_legend};
use super::{Figure, Table, number};

/// Most points drawn per series; longer ones are thinned evenly, keeping both ends.
const MAX_POINTS: usize = 1500;

/// Most points listed per series in the data table.
const MAX_LISTED: usize = 25;

/// A line that data is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// y = x, such as chance in a ROC curve.
    Diagonal,
    /// A constant, such as an alert threshold.
    Level(f64),
}

/// A named sequence of points, drawn in the order given.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// x and y; points that are not finite are left out and counted under the title.
    pub points: Vec<(f64, f64)>,
}

/// A line plot.
#[derive(Clone, Debug, PartialEq)]
pub struct LinePlot {
    /// Title.
    pub title: String,
    /// What to see or know; may be empty.
    pub remark: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// The series, told apart by colour and dashes.
    pub series: Vec<Series>,
    /// Lines to compare with.
    pub references: Vec<Reference>,
}

impl LinePlot {
    /// The plot as a figure.
    #[must_use]
    pub fn figure(&self) -> Figure {
        let finite = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        };
        let kept: Vec<Vec<(f64, f64)>> = self.series.iter().map(|series| finite(&series.points)).collect();
        let given: usize = self.series.iter().map(|series| series.points.len()).sum();
        let left_out = given - kept.iter().map(Vec::len).sum::<usize>();
        let mut remark = self.remark.clone();
        if left_out > 0 {
            remark.push_str(&format!(" ({left_out} of {given} points are not finite and left out)"));
        }

        let levels = self.references.iter().filter_map(|reference| match reference {
            Reference::Level(level) => Some(*level),
            Reference::Diagonal => None,
        });
        let all = || kept.iter().flatten();
        let area = Area::new(
            Scale::new(&self.x, all().map(|point| point.0)),
            Scale::new(&self.y, all().map(|point| point.1).chain(levels)),
        );
        let mut svg = area.frame(&self.x.label, &self.y.label);
        self.references.iter().for_each(|reference| svg.push_str(&reference_line(&area, reference)));
        for (index, points) in kept.iter().enumerate() {
            svg.push_str(&line(&area, points, index % STYLES));
        }
        if all().next().is_none() {
            svg.push_str(&no_data());
        }
        let legend = series_legend(self.series.iter().map(|series| series.name.as_str()), false);
        figure(&self.title, remark.trim_start(), &svg, super::plot::SIZE.1, &legend, &self.data(&kept))
    }

    fn data(&self, kept: &[Vec<(f64, f64)>]) -> Table {
        let thinned = kept.iter().any(|points| points.len() > MAX_LISTED);
        let caption = if thinned {
            format!("Every series thinned to at most {MAX_LISTED} points.")
        } else {
            String::new()
        };
        let mut table = Table::new(&caption, &["Series", &self.x.label, &self.y.label]);
        for (series, points) in self.series.iter().zip(kept) {
            for (x, y) in thin(points, MAX_LISTED) {
                table.row([series.name.clone(), number(x), number(y)]);
            }
        }
        table
    }
}

fn reference_line(area: &Area, reference: &Reference) -> String {
    let (from, to) = match reference {
        Reference::Level(level) => ((area.x.low, *level), (area.x.high, *level)),
        Reference::Diagonal => {
            let (low, high) = (area.x.low.max(area.y.low), area.x.high.min(area.y.high));
            ((low, low), (high, high))
        }
    };
    if !(from.1.is_finite() && to.0 >= from.0) {
        return String::new();
    }
    let (x1, y1, x2, y2) = (area.across(from.0), area.down(from.1), area.across(to.0), area.down(to.1));
    format!("<path class=\"reference\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>\n")
}

fn line(area: &Area, points: &[(f64, f64)], style: usize) -> String {
    let points = thin(points, MAX_POINTS);
    let mut path = String::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        path.push_str(&format!("{command}{:.1} {:.1}", area.across(x), area.down(y)));
    }
    let mut svg = format!("<path class=\"line c{style} d{style}\" d=\"{path}\"/>\n");
    // Few points are measurements to be seen one by one; many are a curve.
    if points.len() <= 30 {
        for &(x, y) in &points {
            svg.push_str(&format!(
                "<circle class=\"c{style}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\"/>",
                area.across(x),
                area.down(y)
            ));
        }
        svg.push('\n');
    }
    svg
}

/// At most `most` points, evenly spaced in the sequence, first and last among them.
fn thin(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    (0..most).map(|index| points[index * (points.len() - 1) / (most - 1)]).collect()
}
