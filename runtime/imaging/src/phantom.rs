//! A synthetic chest CT: slices with lungs, vessels and nodules, their truth, and every factor independent.

pub mod families;
pub mod fault;

mod anatomy;
mod geometry;
mod nodule;
mod random;
mod vessels;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::frame::{Frame, Samples, Source};
use crate::labels::Labels;
use anatomy::Anatomy;
use geometry::Canvas;
use nodule::Nodule;
use random::Random;

/// Name of each label value, in order: background, lung, nodule, and vessel where [`Config::label_vessels`]
/// is set.
pub const CLASS_NAMES: [&str; 4] = ["background", "lung", "nodule", "vessel"];

/// Longest side of a slice in pixels.
pub const MAX_SIDE: usize = 4096;

/// Most nodules in one slice.
pub const MAX_NODULES: u32 = 8;

/// Hounsfield units that are black and white at 8 bits: air to dense bone, with contrast left for the lung.
pub const WINDOW_HU: (f64, f64) = (-1100.0, 400.0);

/// Standard deviation of the noise at relative dose 1 in the middle of the body, in HU.
pub const NOISE_HU: f64 = 22.0;

/// A closed interval from which a factor is drawn uniformly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
}

impl Range {
    /// From `low` to `high`.
    #[must_use]
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// Always `value`.
    #[must_use]
    pub const fn only(value: f64) -> Self {
        Self { low: value, high: value }
    }
}

/// Sample depth of the rendered frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// [`Samples::U8`], [`WINDOW_HU`] stretched to 0..=255.
    Eight,
    /// [`Samples::U16`] of 12 bits: HU + 1024, clipped to 0..=4095, as CT stores it.
    Twelve,
}

/// What the slices look like; every factor is drawn on its own from its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Columns, 16 to [`MAX_SIDE`].
    pub width: usize,
    /// Rows, 16 to [`MAX_SIDE`]; need not equal the columns.
    pub height: usize,
    /// Sample depth.
    pub depth: Depth,
    /// `None` for the whole slice; or a patch whose shorter side spans so many millimetres (20 to 360),
    /// centred on the first nodule.
    pub patch_mm: Option<f64>,
    /// Whether vessels get class 3 rather than counting as lung.
    pub label_vessels: bool,
    /// Fewest and most nodules per slice, at most [`MAX_NODULES`].
    pub nodules: (u32, u32),
    /// Radius of a nodule in millimetres, within 1..=40.
    pub radius_mm: Range,
    /// Boundary of a nodule: 0 smooth to 1 spiculated.
    pub spiculation: Range,
    /// Density of a nodule above lung in HU, within 0..=1500: 200 is ground glass, 850 soft tissue.
    pub contrast_hu: Range,
    /// Inside of a nodule: 0 even to 1 patchy.
    pub texture: Range,
    /// Place of a nodule: 0 at the hilum to 1 at the pleura.
    pub position: Range,
    /// Vessels: 0 none to 1 dense.
    pub vessel_density: Range,
    /// Relative dose, within 0.01..=100: noise variance is proportional to its inverse.
    pub dose: Range,
    /// Level of the slice: 0 near the apex (small lungs, no heart) to 1 near the base (large heart).
    pub level: Range,
    /// Width of the body against its depth: 0 round to 1 wide.
    pub girth: Range,
}

impl Default for Config {
    /// 256×256, 8 bits, none to three nodules of every kind.
    fn default() -> Self {
        Self {
            width: 256,
            height: 256,
            depth: Depth::Eight,
            patch_mm: None,
            label_vessels: false,
            nodules: (0, 3),
            radius_mm: Range::new(4.0, 14.0),
            spiculation: Range::new(0.0, 1.0),
            contrast_hu: Range::new(450.0, 900.0),
            texture: Range::new(0.0, 0.6),
            position: Range::new(0.2, 1.0),
            vessel_density: Range::new(0.3, 0.9),
            dose: Range::new(0.5, 2.0),
            level: Range::new(0.2, 0.9),
            girth: Range::new(0.2, 0.9),
        }
    }
}

/// The factors of one nodule; see [`Config`] for units and ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoduleFactors {
    /// Mean radius in millimetres.
    pub radius_mm: f64,
    /// 0 smooth to 1 spiculated.
    pub spiculation: f64,
    /// HU above lung.
    pub contrast_hu: f64,
    /// 0 even to 1 patchy.
    pub texture: f64,
    /// 0 hilum to 1 pleura.
    pub position: f64,
}

/// All factors of one slice; see [`Config`] for units and ranges.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// 0 none to 1 dense.
    pub vessel_density: f64,
    /// Relative dose.
    pub dose: f64,
    /// 0 apex to 1 base.
    pub level: f64,
    /// 0 round to 1 wide.
    pub girth: f64,
    /// One entry per nodule.
    pub nodules: Vec<NoduleFactors>,
}

/// Everything that is wrong with a configuration or with factors, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhantomError(Vec<String>);

impl PhantomError {
    /// The problems, at least one.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for PhantomError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "phantom: {}", self.0.join("; "))
    }
}

impl std::error::Error for PhantomError {}

/// Name, smallest and largest value a factor can have.
type Bound = (&'static str, f64, f64);

const RADIUS: Bound = ("radius_mm", 1.0, 40.0);
const SPICULATION: Bound = ("spiculation", 0.0, 1.0);
const CONTRAST: Bound = ("contrast_hu", 0.0, 1500.0);
const TEXTURE: Bound = ("texture", 0.0, 1.0);
const POSITION: Bound = ("position", 0.0, 1.0);
const VESSELS: Bound = ("vessel_density", 0.0, 1.0);
const DOSE: Bound = ("dose", 0.01, 100.0);
const LEVEL: Bound = ("level", 0.0, 1.0);
const GIRTH: Bound = ("girth", 0.0, 1.0);

/// What the random streams are for; each purpose draws from its own.
#[derive(Clone, Copy)]
enum Purpose {
    Count,
    Slice,
    Nodule,
    Anatomy,
    Vessels,
    Place,
    Shape,
    Texture,
    Noise,
}

/// An endless source of slices, each fixed by configuration, seed and index.
///
/// Bytes repeat on every machine with IEEE 754 arithmetic: only + − × ÷ √ on f64, in a fixed order, no
/// transcendental functions, random numbers from xoshiro256** and SplitMix64.
#[derive(Clone, Debug, PartialEq)]
pub struct Phantom {
    config: Config,
    seed: u64,
}

impl Phantom {
    /// A source of slices.
    ///
    /// # Errors
    /// A [`PhantomError`] listing every extent or range that is out of bounds or reversed.
    pub fn new(config: Config, seed: u64) -> Result<Self, PhantomError> {
        let mut problems = Vec::new();
        check_sides(config.width, config.height, &mut problems);
        if config.nodules.0 > config.nodules.1 || config.nodules.1 > MAX_NODULES {
            let (low, high) = config.nodules;
            problems
                .push(format!("nodules is {low}..={high}: ascending counts up to {MAX_NODULES} are needed"));
        }
        if let Some(patch) = config.patch_mm.filter(|patch| !(20.0..=360.0).contains(patch)) {
            problems.push(format!("patch_mm is {patch}: it must lie within 20..=360"));
        }
        let ranges = [
            (RADIUS, config.radius_mm),
            (SPICULATION, config.spiculation),
            (CONTRAST, config.contrast_hu),
            (TEXTURE, config.texture),
            (POSITION, config.position),
            (VESSELS, config.vessel_density),
            (DOSE, config.dose),
            (LEVEL, config.level),
            (GIRTH, config.girth),
        ];
        for (bound, range) in ranges {
            check_range(bound, range, &mut problems);
        }
        if problems.is_empty() { Ok(Self { config, seed }) } else { Err(PhantomError(problems)) }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Slice `index`: the frame, its true labels (same extents; see [`CLASS_NAMES`]) and the factors drawn.
    #[must_use]
    pub fn frame(&self, index: u64) -> (Frame, Labels, Factors) {
        let factors = self.factors(index);
        let (frame, labels) = self.draw(index, &factors);
        (frame, labels, factors)
    }

    /// Slices 0, 1, 2, … without end.
    pub fn frames(&self) -> impl Iterator<Item = (Frame, Labels, Factors)> + '_ {
        (0u64..).map(|index| self.frame(index))
    }

    /// The factors of slice `index`, each drawn uniformly from its range and from its own random numbers.
    #[must_use]
    pub fn factors(&self, index: u64) -> Factors {
        let config = &self.config;
        let (least, most) = config.nodules;
        let count = least + self.random(index, Purpose::Count).below(u64::from(most - least) + 1) as u32;
        let mut slice = self.random(index, Purpose::Slice);
        let draw = |random: &mut Random, range: Range| random.between(range.low, range.high);
        Factors {
            vessel_density: draw(&mut slice, config.vessel_density),
            dose: draw(&mut slice, config.dose),
            level: draw(&mut slice, config.level),
            girth: draw(&mut slice, config.girth),
            nodules: (0..u64::from(count))
                .map(|number| {
                    let mut random = Random::new(self.seed, &[index, Purpose::Nodule as u64, number]);
                    NoduleFactors {
                        radius_mm: draw(&mut random, config.radius_mm),
                        spiculation: draw(&mut random, config.spiculation),
                        contrast_hu: draw(&mut random, config.contrast_hu),
                        texture: draw(&mut random, config.texture),
                        position: draw(&mut random, config.position),
                    }
                })
                .collect(),
        }
    }

    /// Slice `index` with other factors, for interventions: what is not changed stays as it was, down to
    /// the noise. Factors may lie outside the configured ranges, but not outside what [`Config`]
    /// allows.
    ///
    /// # Errors
    /// A [`PhantomError`] listing every factor that is out of bounds.
    pub fn render(&self, index: u64, factors: &Factors) -> Result<(Frame, Labels), PhantomError> {
        let mut problems = Vec::new();
        check(VESSELS, factors.vessel_density, &mut problems);
        check(DOSE, factors.dose, &mut problems);
        check(LEVEL, factors.level, &mut problems);
        check(GIRTH, factors.girth, &mut problems);
        if factors.nodules.len() > MAX_NODULES as usize {
            problems.push(format!("{} nodules: at most {MAX_NODULES} are rendered", factors.nodules.len()));
        }
        for nodule in &factors.nodules {
            check(RADIUS, nodule.radius_mm, &mut problems);
            check(SPICULATION, nodule.spiculation, &mut problems);
            check(CONTRAST, nodule.contrast_hu, &mut problems);
            check(TEXTURE, nodule.texture, &mut problems);
            check(POSITION, nodule.position, &mut problems);
        }
        if problems.is_empty() { Ok(self.draw(index, factors)) } else { Err(PhantomError(problems)) }
    }

    fn random(&self, index: u64, purpose: Purpose) -> Random {
        Random::new(self.seed, &[index, purpose as u64])
    }

    fn draw(&self, index: u64, factors: &Factors) -> (Frame, Labels) {
        let config = &self.config;
        let (width, height) = (config.width, config.height);
        let anatomy = Anatomy::new(factors.level, factors.girth, &mut self.random(index, Purpose::Anatomy));
        let mut place = self.random(index, Purpose::Place);
        let mut nodules: Vec<Nodule> = Vec::new();
        for (number, nodule) in factors.nodules.iter().enumerate() {
            let mut shape = Random::new(self.seed, &[index, Purpose::Shape as u64, number as u64]);
            let centre =
                nodule::place(&anatomy, nodule.position, &nodules, config.radius_mm.high, &mut place);
            nodules.push(Nodule::new(*nodule, centre, &mut shape));
        }

        let (centre, field) = match config.patch_mm {
            Some(patch) => (nodules.first().map_or(anatomy.hilum(1.0), |nodule| nodule.centre), patch),
            None => ((0.0, 0.0), anatomy::FIELD_MM),
        };
        // A whole slice is fitted to its wider proportion, so that no shape of raster cuts the body.
        let pixel = match config.patch_mm {
            Some(_) => field / width.min(height) as f64,
            None => (field / width as f64).max(field * 0.75 / height as f64),
        };
        let mut canvas = Canvas::new(width, height, pixel, centre, anatomy::AIR_HU);
        let texture = self.random(index, Purpose::Texture).next();
        let lung = anatomy.paint(&mut canvas, texture);
        let mut vessels = self.random(index, Purpose::Vessels);
        let vessel = vessels::paint(&mut canvas, &anatomy, &lung, factors.vessel_density, &mut vessels);
        let mut nodule = vec![0.0; canvas.values.len()];
        for shape in &nodules {
            shape.paint(&mut canvas, texture, &mut nodule);
        }
        let labels = label_map(&lung, &vessel, &nodule, config.label_vessels);
        add_noise(&mut canvas, &anatomy, factors.dose, &mut self.random(index, Purpose::Noise));

        let name = format!("phantom-{:016x}-{index}", self.seed);
        let (samples, bits) = digitize(&canvas.values, config.depth);
        let frame = Frame::from_valid(width, height, samples, Source::new(name, bits));
        (frame, Labels::from_valid(width, height, labels))
    }
}

fn check_sides(width: usize, height: usize, problems: &mut Vec<String>) {
    for (name, side) in [("width", width), ("height", height)] {
        if !(16..=MAX_SIDE).contains(&side) {
            problems.push(format!("{name} is {side}: it must lie within 16..={MAX_SIDE}"));
        }
    }
}

fn check_range(bound: Bound, range: Range, problems: &mut Vec<String>) {
    check(bound, range.low, problems);
    check(bound, range.high, problems);
    if range.low > range.high {
        problems.push(format!("{}: low {} is above high {}", bound.0, range.low, range.high));
    }
}

fn check((name, low, high): Bound, value: f64, problems: &mut Vec<String>) {
    if !(low..=high).contains(&value) {
        problems.push(format!("{name} is {value}: it must lie within {low}..={high}"));
    }
}

/// A pixel belongs to what covers at least half of it; a nodule goes before a vessel, a vessel before lung.
fn label_map(lung: &[f64], vessel: &[f64], nodule: &[f64], label_vessels: bool) -> Vec<u8> {
    let class = |((&lung, &vessel), &nodule): ((&f64, &f64), &f64)| {
        if nodule >= 0.5 {
            2
        } else if label_vessels && vessel >= 0.5 {
            3
        } else {
            u8::from(lung >= 0.5)
        }
    };
    lung.iter().zip(vessel).zip(nodule).map(class).collect()
}

/// Adds noise like that of a reconstructed slice: variance proportional to 1 / dose and growing with the
/// depth of tissue around a pixel, grain of about two pixels (a 3×3 binomial filter, scaled back to unit
/// variance).
fn add_noise(canvas: &mut Canvas, anatomy: &Anatomy, dose: f64, random: &mut Random) {
    let (width, height) = (canvas.width, canvas.height);
    let white: Vec<f64> = (0..width * height).map(|_| random.normal()).collect();
    let scale = NOISE_HU / dose.sqrt() / 0.375;
    for row in 0..height {
        let rows = [row.saturating_sub(1), row, (row + 1).min(height - 1)];
        for column in 0..width {
            let columns = [column.saturating_sub(1), column, (column + 1).min(width - 1)];
            let line = |row: usize| {
                let at = |column: usize| white[row * width + column];
                0.25 * at(columns[0]) + 0.5 * at(columns[1]) + 0.25 * at(columns[2])
            };
            let grain = 0.25 * line(rows[0]) + 0.5 * line(rows[1]) + 0.25 * line(rows[2]);
            let depth = anatomy.tissue_depth(canvas.point(row, column));
            canvas.values[row * width + column] += grain * scale * (0.35 + 0.65 * depth);
        }
    }
}

fn digitize(values: &[f64], depth: Depth) -> (Samples, u8) {
    let (black, white) = WINDOW_HU;
    match depth {
        Depth::Eight => {
            let level =
                |&value: &f64| ((value - black) / (white - black) * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
            (Samples::U8(values.iter().map(level).collect()), 8)
        }
        Depth::Twelve => {
            let level = |&value: &f64| (value + 1024.5).clamp(0.0, 4095.0) as u16;
            (Samples::U16(values.iter().map(level).collect()), 12)
        }
    }
}
