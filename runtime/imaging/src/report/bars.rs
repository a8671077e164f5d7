//! Histograms of several groups, and bars with intervals.

use super::plot::{Area, Axis, SIZE, STYLES, Scale, figure, no_data, rectangle, series_legend, text};
use super::{Figure, Table, number};

/// One group of a [`Histogram`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSeries {
    /// Name in the legend.
    pub name: String,
    /// Count per bin, one fewer than the edges.
    pub counts: Vec<u64>,
}

/// A histogram; each group is drawn as its share per bin, so that groups of different size compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Title.
    pub title: String,
    /// What to see or know; may be empty.
    pub remark: String,
    /// What is binned, with its unit.
    pub label: String,
    /// Ascending bin edges.
    pub edges: Vec<f64>,
    /// The groups; counts beyond the bins are not drawn.
    pub series: Vec<HistogramSeries>,
}

impl Histogram {
    /// The histogram as a figure.
    #[must_use]
    pub fn figure(&self) -> Figure {
        let shares: Vec<Vec<f64>> = self
            .series
            .iter()
            .map(|series| {
                let total = series.counts.iter().map(|&count| count as f64).sum::<f64>().max(1.0);
                series
                    .counts
                    .iter()
                    .take(self.edges.len().saturating_sub(1))
                    .map(|&count| count as f64 / total)
                    .collect()
            })
            .collect();
        let range = (self.edges.first().copied().unwrap_or(0.0), self.edges.last().copied().unwrap_or(1.0));
        let x = Axis { label: self.label.clone(), range: Some(range) };
        let y = Axis::new("Share per bin");
        let area = Area::new(
            Scale::new(&x, self.edges.iter().copied()),
            Scale::new(&y, shares.iter().flatten().copied().chain([0.0])),
        );
        let mut svg = area.frame(&x.label, &y.label);
        for (index, shares) in shares.iter().enumerate() {
            svg.push_str(&outline(&area, &self.edges, shares, index % STYLES));
        }
        if shares.iter().all(Vec::is_empty) {
            svg.push_str(&no_data());
        }
        let names: Vec<String> = self
            .series
            .iter()
            .map(|series| format!("{} (n = {})", series.name, series.counts.iter().sum::<u64>()))
            .collect();
        let legend = series_legend(names.iter().map(String::as_str), true);
        figure(&self.title, &self.remark, &svg, SIZE.1, &legend, &self.data())
    }

    fn data(&self) -> Table {
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        let mut table = Table::new("", &[&["Bin"][..], &names].concat());
        for (bin, edges) in self.edges.windows(2).enumerate() {
            let range = format!("{} – {}", number(edges[0]), number(edges[1]));
            let count = |series: &HistogramSeries| series.counts.get(bin).copied().unwrap_or(0).to_string();
            table.row([range].into_iter().chain(self.series.iter().map(count)));
        }
        table
    }
}

/// A stepped outline over the bins, filled down to zero.
fn outline(area: &Area, edges: &[f64], shares: &[f64], style: usize) -> String {
    let (Some(&first), Some(&last)) = (edges.first(), edges.get(shares.len())) else { return String::new() };
    if shares.is_empty() {
        return String::new();
    }
    let base = area.down(0.0);
    let mut path = format!("M{:.1} {base:.1}", area.across(first));
    for (share, edges) in shares.iter().zip(edges.windows(2)) {
        let y = area.down(*share);
        path.push_str(&format!("L{:.1} {y:.1}L{:.1} {y:.1}", area.across(edges[0]), area.across(edges[1])));
    }
    path.push_str(&format!("L{:.1} {base:.1}", area.across(last)));
    format!("<path class=\"area c{style} d{style}\" d=\"{path}\"/>\n")
}

/// One bar of [`Bars`].
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Name beside the bar.
    pub name: String,
    /// Length; a bar that is not finite is listed as `n/a`.
    pub value: f64,
    /// An interval around the value, such as a 95 % confidence interval.
    pub interval: Option<(f64, f64)>,
}

/// Horizontal bars with their values and intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// Title.
    pub title: String,
    /// What to see or know, such as what the intervals are; may be empty.
    pub remark: String,
    /// What is measured; zero is always shown.
    pub axis: Axis,
    /// The bars, from top to bottom.
    pub bars: Vec<Bar>,
}

impl Bars {
    /// The bars as a figure.
    #[must_use]
    pub fn figure(&self) -> Figure {
        const ROW: f64 = 30.0;
        let ends = |bar: &Bar| {
            let (low, high) = bar.interval.unwrap_or((bar.value, bar.value));
            [bar.value, low, high]
        };
        let x = Scale::new(&self.axis, self.bars.iter().flat_map(ends).chain([0.0]));
        let mut area = Area::new(x, Scale::new(&Axis::unit(""), std::iter::empty()));
        let longest = self.bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0).min(30);
        area.left = 14.0 + 6.4 * longest as f64;
        // Room on the right for the value beside the longest bar.
        area.width = SIZE.0 - area.left - 58.0;
        area.height = ROW * self.bars.len().max(1) as f64 + 8.0;
        let height = area.top + area.height + 44.0;
        let mut svg = area.ticks_below(&self.axis.label, height - 6.0);
        let zero = area.across(0.0);
        for (index, bar) in self.bars.iter().enumerate() {
            let middle = area.top + 4.0 + ROW * (index as f64 + 0.5);
            let name: String = if bar.name.chars().count() > 30 {
                bar.name.chars().take(29).chain(['…']).collect()
            } else {
                bar.name.clone()
            };
            svg.push_str(&text("label", "end", area.left - 8.0, middle + 4.0, &name));
            let mut end = zero;
            if bar.value.is_finite() {
                let at = area.across(bar.value);
                let (left, width) = (at.min(zero), (at - zero).abs());
                svg.push_str(&rectangle("bar c0", left, middle - 8.0, width, 16.0));
                end = at.max(zero);
            }
            if let Some((low, high)) = bar.interval.filter(|(low, high)| low.is_finite() && high.is_finite())
            {
                let (low, high) = (area.across(low), area.across(high));
                let top = middle - 4.0;
                let path =
                    format!("M{low:.1} {middle:.1}H{high:.1}M{low:.1} {top:.1}v8M{high:.1} {top:.1}v8");
                svg.push_str(&format!("<path class=\"whisker\" d=\"{path}\"/>\n"));
                end = end.max(high);
            }
            svg.push_str(&text("tick", "start", end + 6.0, middle + 4.0, &number(bar.value)));
        }
        figure(&self.title, &self.remark, &svg, height, "", &self.data())
    }

    fn data(&self) -> Table {
        let mut table = Table::new("", &["", &self.axis.label, "low", "high"]);
        for bar in &self.bars {
            let (low, high) = bar
                .interval
                .map_or((String::new(), String::new()), |(low, high)| (number(low), number(high)));
            table.row([bar.name.clone(), number(bar.value), low, high]);
        }
        table
    }
}
