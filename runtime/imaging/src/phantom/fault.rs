//! Faults of scanners and links, as middleware over any source of frames.

#[cfg(test)]
mod tests;

use std::ops::Range;

use super::geometry::{Harmonics, length};
use super::random::Random;
use crate::frame::{Frame, Samples};

/// What goes wrong with a frame. Intensities are fractions of full scale; for floats, of the frame's own
/// span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The dose falls to this fraction (0 to 1) of what the frame was taken with: noise is added, its
    /// standard deviation `0.015 · √(1/dose − 1)`, grained like the phantom's own.
    DoseDrop {
        /// Fraction of the dose that is left; values below 0.001 count as 0.001.
        dose: f64,
    },
    /// Every sample becomes `gain · value + offset`.
    Gain {
        /// Factor.
        gain: f64,
        /// Added fraction of full scale.
        offset: f64,
    },
    /// A piece of metal: a bright spot with dark and bright streaks running out from it.
    MetalStreak {
        /// Size of the streaks near the metal, about 0.1 (mild) to 1 (severe).
        strength: f64,
    },
    /// Rows that read zero.
    DeadRows {
        /// How many; positions are random, rows may coincide.
        rows: usize,
    },
    /// Every second row is brighter: gain error between two readout channels.
    Stripes {
        /// Added to odd rows and taken from even ones.
        amplitude: f64,
    },
    /// Gain so high that all but the darkest tissue clips.
    Saturated,
    /// All samples zero.
    Blank,
    /// Dark becomes bright: full scale − value.
    Inverted,
    /// Rows cut at the wrong length: each row begins one pixel later in the data than the row above.
    WrongStride,
    /// The last frame before the fault is delivered again and again (only in a [`Faulty`] stream; a single
    /// frame is left as it is).
    Frozen,
}

impl Fault {
    /// The frame with the fault, of the same extents, type and source; clipped to the frame's scale.
    ///
    /// Deterministic in `seed`, like the phantom.
    #[must_use]
    pub fn apply(&self, frame: &Frame, seed: u64) -> Frame {
        let mut picture = Picture::new(frame);
        let mut random = Random::new(seed, &[]);
        match *self {
            Self::DoseDrop { dose } => {
                picture.add_noise(0.015 * (1.0 / dose.clamp(0.001, 1.0) - 1.0).sqrt(), &mut random)
            }
            Self::Gain { gain, offset } => picture.map(|_, _, value| gain * value + offset),
            Self::MetalStreak { strength } => picture.add_metal(strength, &mut random),
            Self::DeadRows { rows } => {
                let height = picture.height as u64;
                let dead: Vec<usize> =
                    (0..rows.min(picture.height)).map(|_| random.below(height) as usize).collect();
                picture.map(|row, _, value| if dead.contains(&row) { 0.0 } else { value });
            }
            Self::Stripes { amplitude } => {
                picture.map(|row, _, value| if row % 2 == 1 { value + amplitude } else { value - amplitude });
            }
            Self::Saturated => picture.map(|_, _, value| 6.0 * value + 0.1),
            Self::Blank => picture.map(|_, _, _| 0.0),
            Self::Inverted => picture.map(|_, _, value| 1.0 - value),
            Self::WrongStride => picture.shear(),
            Self::Frozen => {}
        }
        picture.into_frame(frame)
    }
}

/// A source of frames that goes wrong over given intervals; where intervals overlap, faults apply in order.
pub struct Faulty<I> {
    source: I,
    faults: Vec<(Range<u64>, Fault)>,
    seed: u64,
    index: u64,
    last: Option<Frame>,
}

impl<I: Iterator<Item = Frame>> Faulty<I> {
    /// Wraps `source`; each fault acts on the frames whose index, counted from 0, lies in its range.
    pub fn new(source: I, faults: Vec<(Range<u64>, Fault)>, seed: u64) -> Self {
        Self { source, faults, seed, index: 0, last: None }
    }
}

impl<I: Iterator<Item = Frame>> Iterator for Faulty<I> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let mut frame = self.source.next()?;
        let mut frozen = false;
        for (number, (range, fault)) in self.faults.iter().enumerate() {
            if !range.contains(&self.index) {
                continue;
            }
            if let (Fault::Frozen, Some(last)) = (fault, &self.last) {
                (frame, frozen) = (last.clone(), true);
            } else {
                let seed = Random::new(self.seed, &[self.index, number as u64]).next();
                frame = fault.apply(&frame, seed);
            }
        }
        if !frozen && self.faults.iter().any(|(_, fault)| *fault == Fault::Frozen) {
            self.last = Some(frame.clone());
        }
        self.index += 1;
        Some(frame)
    }
}

/// A frame as fractions of its scale, in its own layout.
struct Picture {
    values: Vec<f64>,
    width: usize,
    height: usize,
    /// Samples per pixel side by side: the channels of HWC, 1 of CHW.
    interleaved: usize,
    low: f64,
    span: f64,
}

impl Picture {
    fn new(frame: &Frame) -> Self {
        let (low, span) = match frame.samples() {
            Samples::F32(values) => {
                let low = values.iter().copied().fold(f32::INFINITY, f32::min);
                let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                (f64::from(low), f64::from(high) - f64::from(low))
            }
            _ => (0.0, frame.max_value().map_or(1.0, f64::from)),
        };
        // A constant tensor has no span of its own.
        let span = if span > 0.0 { span } else { 1.0 };
        let fraction = |value: f64| (value - low) / span;
        let (values, interleaved) = match frame.samples() {
            Samples::U8(values) => {
                (values.iter().map(|&v| fraction(f64::from(v))).collect(), frame.channels())
            }
            Samples::U16(values) => {
                (values.iter().map(|&v| fraction(f64::from(v))).collect(), frame.channels())
            }
            Samples::F32(values) => (values.iter().map(|&v| fraction(f64::from(v))).collect(), 1),
        };
        Self { values, width: frame.width(), height: frame.height(), interleaved, low, span }
    }

    fn into_frame(self, frame: &Frame) -> Frame {
        let value = |&fraction: &f64| self.low + fraction.clamp(0.0, 1.0) * self.span;
        let samples = match frame.samples() {
            Samples::U8(_) => Samples::U8(self.values.iter().map(|v| (value(v) + 0.5) as u8).collect()),
            Samples::U16(_) => Samples::U16(self.values.iter().map(|v| (value(v) + 0.5) as u16).collect()),
            Samples::F32(_) => Samples::F32(self.values.iter().map(|v| value(v) as f32).collect()),
        };
        frame.with_samples(samples)
    }

    /// Replaces each sample by `each(row, column, fraction)`.
    fn map(&mut self, mut each: impl FnMut(usize, usize, f64) -> f64) {
        let (width, height, interleaved) = (self.width, self.height, self.interleaved);
        for (index, value) in self.values.iter_mut().enumerate() {
            let pixel = index / interleaved % (width * height);
            *value = each(pixel / width, pixel % width, *value);
        }
    }

    /// Adds the same grain to every channel: white noise through a 3×3 binomial filter, back at unit
    /// variance.
    fn add_noise(&mut self, deviation: f64, random: &mut Random) {
        let (width, height) = (self.width, self.height);
        let white: Vec<f64> = (0..width * height).map(|_| random.normal()).collect();
        let scale = deviation / 0.375;
        let near = |at: usize, extent: usize| [at.saturating_sub(1), at, (at + 1).min(extent - 1)];
        self.map(|row, column, value| {
            let mut grain = 0.0;
            for (near_row, down) in near(row, height).into_iter().zip([0.25, 0.5, 0.25]) {
                for (near_column, across) in near(column, width).into_iter().zip([0.25, 0.5, 0.25]) {
                    grain += white[near_row * width + near_column] * down * across;
                }
            }
            value + grain * scale
        });
    }

    /// A metal disc in the middle half of the picture with streaks that fade with distance.
    fn add_metal(&mut self, strength: f64, random: &mut Random) {
        let side = self.width.min(self.height) as f64;
        let centre =
            (self.width as f64 * random.between(0.3, 0.7), self.height as f64 * random.between(0.35, 0.65));
        let radius = side * 0.02 + 0.5;
        let terms = (0..28).map(|_| {
            let (x, y) = random.direction();
            let size = random.between(0.2, 1.0) * 0.3;
            (x * size, y * size)
        });
        let streaks = Harmonics::new(6, terms.collect());
        self.map(|row, column, value| {
            let offset = (column as f64 + 0.5 - centre.0, row as f64 + 0.5 - centre.1);
            let distance = length(offset);
            if distance <= radius {
                return 1.0;
            }
            value + strength * streaks.at(offset) * radius * 4.0 / (distance + radius * 3.0)
        });
    }

    /// Reads row `r` from `r` pixels further on, wrapping within the picture.
    fn shear(&mut self) {
        let (width, pixels) = (self.width, self.width * self.height);
        let original = std::mem::take(&mut self.values);
        let interleaved = self.interleaved;
        self.values = (0..original.len())
            .map(|index| {
                let (plane, pixel) = (index / interleaved / pixels, index / interleaved % pixels);
                let from = plane * pixels + (pixel + pixel / width) % pixels;
                original[from * interleaved + index % interleaved]
            })
            .collect();
    }
}
