//! The autocorrelation of a stream at octaves of lags, and the block length that follows from it.

use candor_core::state::{Reader, StateError, Writer};

/// Octaves of lags: 1, 2, 4, … 1024.
const RUNGS: usize = 11;
/// Longest block in frames.
pub const BLOCK_MAX: u32 = 4096;
/// Fewest pairs from which a correlation is taken.
const PAIRS_MIN: u64 = 16;

/// Pairs of values at one lag.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Rung {
    last: Option<f64>,
    pairs: u64,
    /// Σx, Σy, Σx², Σy², Σxy.
    sums: [f64; 5],
}

impl Rung {
    fn push(&mut self, value: f64) {
        if let Some(last) = self.last {
            self.pairs += 1;
            let terms = [last, value, last * last, value * value, last * value];
            self.sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        self.last = Some(value);
    }

    /// Pearson's correlation of the pairs, in −1..=1; 0 where it is undefined.
    fn correlation(&self) -> f64 {
        let [x, y, xx, yy, xy] = self.sums;
        let pairs = self.pairs.max(1) as f64;
        let (vx, vy) = (xx - x * x / pairs, yy - y * y / pairs);
        let product = vx * vy;
        if vx > 0.0 && vy > 0.0 && product > 0.0 {
            ((xy - x * y / pairs) / product.sqrt()).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }
}

/// Correlations at the lags 1, 2, 4, … 1024, each from the stream thinned to that lag: fixed size, one
/// update per frame for the first and as many again for all others together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ladder {
    rungs: [Rung; RUNGS],
    frames: u64,
    /// The first value: sums are of differences from it, so that they keep their digits.
    origin: f64,
    started: bool,
}

impl Ladder {
    /// Bytes in a state.
    pub(super) const BYTES: usize = RUNGS * 57 + 17;

    /// Adds a value; one that is not finite interrupts the pairs it would be in.
    pub fn push(&mut self, value: f64) {
        if !self.started && value.is_finite() {
            (self.origin, self.started) = (value, true);
        }
        for (octave, rung) in self.rungs.iter_mut().enumerate() {
            if !self.frames.is_multiple_of(1 << octave) {
                break;
            }
            if value.is_finite() {
                rung.push(value - self.origin);
            } else {
                rung.last = None;
            }
        }
        self.frames += 1;
    }

    /// Mean and standard deviation of the values (of all but the last, strictly).
    pub fn moments(&self) -> (f64, f64) {
        let [x, _, xx, _, _] = self.rungs[0].sums;
        let pairs = self.rungs[0].pairs.max(1) as f64;
        let mean = x / pairs;
        (self.origin + mean, (xx / pairs - mean * mean).max(0.0).sqrt())
    }

    /// Correlation at lag 2^`octave`.
    pub fn correlation(&self, octave: usize) -> f64 {
        self.rungs.get(octave).map_or(0.0, Rung::correlation)
    }

    /// Frames between values that are as good as uncorrelated, 1 to [`BLOCK_MAX`].
    ///
    /// For a first-order process of parameter φ it is ⌈3/(1 − φ)⌉, at which e⁻³ = 5 % of the correlation
    /// is left. Every octave k gives an estimate φ = r^(1/2^k) from its correlation r, raised by two
    /// standard errors; the longest block any of them asks for is taken, so that a slow component under a
    /// fast one is not overlooked. Lags above one count when r is three standard errors above zero.
    pub fn block(&self) -> u32 {
        let mut length = 1;
        for (octave, rung) in self.rungs.iter().enumerate() {
            if rung.pairs < PAIRS_MIN {
                break;
            }
            let r = rung.correlation();
            let error = 1.0 / (rung.pairs as f64).sqrt();
            if octave > 0 && r <= 3.0 * error {
                continue;
            }
            let mut phi = (r + 2.0 * error * (1.0 - r * r)).clamp(0.0, 0.9999);
            (0..octave).for_each(|_| phi = phi.sqrt());
            let needed = (3.0 / (1.0 - phi)).ceil().min(f64::from(BLOCK_MAX));
            length = length.max(needed as u32);
        }
        length
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        for rung in &self.rungs {
            writer.u8(u8::from(rung.last.is_some()));
            writer.u64(rung.last.unwrap_or(0.0).to_bits());
            writer.u64(rung.pairs);
            rung.sums.iter().for_each(|sum| writer.u64(sum.to_bits()));
        }
        writer.u64(self.frames);
        writer.u64(self.origin.to_bits());
        writer.u8(u8::from(self.started));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut ladder = Self::default();
        for rung in &mut ladder.rungs {
            let known = reader.flag()?;
            let last = f64::from_bits(reader.u64()?);
            rung.last = known.then_some(last);
            rung.pairs = reader.u64()?;
            for sum in &mut rung.sums {
                *sum = f64::from_bits(reader.u64()?);
            }
        }
        ladder.frames = reader.u64()?;
        ladder.origin = f64::from_bits(reader.u64()?);
        ladder.started = reader.flag()?;
        Ok(ladder)
    }
}
