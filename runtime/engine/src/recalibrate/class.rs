//! The map of one class: discounted counts, Platt parameters, and the knots that follow from both.

use super::exponential::{logit, sigmoid};
use candor_core::calibration::KNOTS;
use candor_core::state::{Reader, StateError, Writer};

/// Levels of confidence: its high byte.
pub const LEVELS: usize = 256;
/// What an earlier lesson is worth when the next has come.
const DISCOUNT: f64 = 0.97;
/// Longest step of slope and offset in one lesson.
const STEP_MAX: [f64; 2] = [0.25, 0.5];
/// Range of slope and offset.
const SLOPE_RANGE: (f64, f64) = (0.05, 4.0);
const OFFSET_MAX: f64 = 8.0;
/// Weight of the identity in the likelihood, in pixels: parameters do not move on a handful of pixels.
const PRIOR_PIXELS: f64 = 256.0;
/// Bins whose mean error calibeating takes away, and the pixels without error that each begins with.
const BINS: usize = 20;
const BIN_PRIOR_PIXELS: f64 = 256.0;

/// Platt parameters: probability `σ(slope·logit(confidence) + offset)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Platt {
    /// Factor of the logit.
    pub slope: f64,
    /// Added to it.
    pub offset: f64,
}

/// Pixels of one class in one lesson by confidence level: all, those that are right, and the sum of
/// confidence in 1/65535.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts(Box<[[u64; 3]; LEVELS]>);

impl Default for Counts {
    fn default() -> Self {
        Self(Box::new([[0; 3]; LEVELS]))
    }
}

impl Counts {
    pub fn add(&mut self, confidence: u16, right: bool) {
        let level = &mut self.0[usize::from(confidence >> 8)];
        level[0] += 1;
        level[1] += u64::from(right);
        level[2] += u64::from(confidence);
    }
}

/// What is known of one class.
#[derive(Debug, PartialEq)]
pub(super) struct ClassMap {
    levels: Box<[[f64; 3]; LEVELS]>,
    platt: Platt,
}

impl Default for ClassMap {
    fn default() -> Self {
        Self { levels: Box::new([[0.0; 3]; LEVELS]), platt: Platt { slope: 1.0, offset: 0.0 } }
    }
}

impl Clone for ClassMap {
    fn clone(&self) -> Self {
        Self { levels: self.levels.clone(), platt: self.platt }
    }

    fn clone_from(&mut self, source: &Self) {
        self.levels.copy_from_slice(source.levels.as_slice());
        self.platt = source.platt;
    }
}

impl ClassMap {
    pub const BYTES: usize = LEVELS * 24 + 16;

    pub const fn parameters(&self) -> Platt {
        self.platt
    }

    /// Adds a lesson and takes one step; whether the step had to be shortened.
    pub fn learn(&mut self, counts: &Counts) -> bool {
        for (level, lesson) in self.levels.iter_mut().zip(counts.0.iter()) {
            for (sum, &count) in level.iter_mut().zip(lesson) {
                *sum = DISCOUNT * *sum + count as f64;
            }
        }
        self.step()
    }

    /// Confidence levels that hold pixels: logit of their mean confidence, pixels, right ones.
    fn occupied(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let held = self.levels.iter().filter(|level| level[0] > 0.0);
        held.map(|&[pixels, right, mass]| (logit(mass / (65_535.0 * pixels)), pixels, right))
    }

    /// One Newton step on the penalised likelihood, no longer than allowed.
    fn step(&mut self) -> bool {
        let Platt { slope, offset } = self.platt;
        let (mut g0, mut g1) = (PRIOR_PIXELS * (slope - 1.0), PRIOR_PIXELS * offset);
        let (mut h00, mut h01, mut h11) = (PRIOR_PIXELS, 0.0, PRIOR_PIXELS);
        for (x, pixels, right) in self.occupied() {
            let p = sigmoid(slope * x + offset);
            let (gradient, curvature) = (pixels * p - right, pixels * p * (1.0 - p));
            g0 += gradient * x;
            g1 += gradient;
            h00 += curvature * x * x;
            h01 += curvature * x;
            h11 += curvature;
        }
        // Positive by Cauchy and Schwarz, and by the prior.
        let determinant = h00 * h11 - h01 * h01;
        let wanted = [(h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant];
        let longest = wanted[0].abs() / STEP_MAX[0];
        let ratio = longest.max(wanted[1].abs() / STEP_MAX[1]).max(1.0);
        self.platt.slope = (slope - wanted[0] / ratio).clamp(SLOPE_RANGE.0, SLOPE_RANGE.1);
        self.platt.offset = (offset - wanted[1] / ratio).clamp(-OFFSET_MAX, OFFSET_MAX);
        ratio > 1.0
    }

    /// The map: Platt scaling, then the mean error of each bin taken away, rising throughout.
    pub fn map(&self) -> [u16; KNOTS] {
        let Platt { slope, offset } = self.platt;
        let mut errors = [(0.0, BIN_PRIOR_PIXELS); BINS];
        for (x, pixels, right) in self.occupied() {
            let p = sigmoid(slope * x + offset);
            let bin = &mut errors[bin(p)];
            *bin = (bin.0 + right - pixels * p, bin.1 + pixels);
        }
        let mut map = [0; KNOTS];
        let mut floor = 0_u16;
        for (knot, value) in map.iter_mut().enumerate() {
            let p = sigmoid(slope * logit(knot as f64 / (KNOTS - 1) as f64) + offset);
            let (error, pixels) = errors[bin(p)];
            let stated = (p + error / pixels).clamp(0.0, 1.0);
            floor = floor.max((stated * 65_535.0).round_ties_even() as u16);
            *value = floor;
        }
        map
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        self.levels.iter().flatten().for_each(|sum| writer.u64(sum.to_bits()));
        writer.u64(self.platt.slope.to_bits());
        writer.u64(self.platt.offset.to_bits());
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut class = Self::default();
        for sum in class.levels.iter_mut().flatten() {
            *sum = f64::from_bits(reader.u64()?);
        }
        class.platt = Platt { slope: f64::from_bits(reader.u64()?), offset: f64::from_bits(reader.u64()?) };
        Ok(class)
    }
}

fn bin(p: f64) -> usize {
    ((p * BINS as f64) as usize).min(BINS - 1)
}
