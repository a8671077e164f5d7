//! The monotone integer tables a calibrator consists of, and the reference way to apply them.
use super::Parameters;
use super::histogram::{CENTRE, LEVELS, logit_index};

/// Probability (value / 65535) of every logit index, non-decreasing, each in 1..=65535.
///
/// Tables of fitted probabilities stay in 1..=65534, so that neither a class nor its complement is ever
/// certain and every likelihood is finite; only the weight table of [`Kind::Softmax`] reaches 65535.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(Box<[u16; LEVELS]>);

impl Table {
    /// Rounds probabilities to the grid, clipped to 1..=65534, never falling.
    pub(super) fn from_probabilities(probability: impl Fn(usize) -> f64) -> Self {
        Self::rounded(65_534.0, probability)
    }

    /// σ of a calibrated logit per index.
    pub(super) fn from_logits(logit: impl Fn(usize) -> f64) -> Self {
        Self::from_probabilities(|index| sigmoid(logit(index)))
    }

    /// Softmax weights exp((i − 2048)·step / temperature) relative to the largest logit; 1 from 2048 on.
    pub(super) fn from_weights(step: f64, temperature: f64) -> Self {
        Self::rounded(65_535.0, |index| ((index as f64 - CENTRE as f64).min(0.0) * step / temperature).exp())
    }

    fn rounded(most: f64, value: impl Fn(usize) -> f64) -> Self {
        let mut entries = Box::new([1_u16; LEVELS]);
        let mut floor = 1_u16;
        for (index, entry) in entries.iter_mut().enumerate() {
            floor = floor.max((value(index) * 65_535.0).round().clamp(1.0, most) as u16);
            *entry = floor;
        }
        Self(entries)
    }

    /// The entries, as packages store them.
    pub fn entries(&self) -> &[u16; LEVELS] {
        &self.0
    }

    /// Entry of a logit index; indices past the end saturate.
    pub fn entry(&self, index: usize) -> u16 {
        self.0[index.min(LEVELS - 1)]
    }

    /// Entry of a logit index as a probability in (0, 1).
    pub fn probability(&self, index: usize) -> f64 {
        f64::from(self.entry(index)) / 65_535.0
    }
}

/// 1 / (1 + e^−z) without overflow.
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// ln(1 + e^z) without overflow.
pub(super) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// How the tables of a calibrator are indexed and combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Binary: one table, indexed by the logit.
    Shared,
    /// Binary: `tables[0]` for pixels off the boundary band, `tables[1]` for pixels in it. The band is that
    /// of the *predicted* mask, since no truth exists on a device; fit it on the same.
    BoundaryInterior,
    /// Multi-class: one table of softmax weights indexed by `logit − largest logit`; p = w / Σw.
    Softmax,
    /// Multi-class: one table per class indexed by the margin `logit − largest other logit`; p = t / Σt.
    OneVsRest,
}

/// A fitted calibrator: everything a package needs to turn logits into probabilities by table look-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrator {
    /// How the tables are used.
    pub kind: Kind,
    /// Logits per index.
    pub step: f64,
    /// What each table was fitted as.
    pub parameters: Vec<Parameters>,
    /// The tables.
    pub tables: Vec<Table>,
}

impl Calibrator {
    /// Calibrated probability (value / 65535) of the positive class for a binary logit index.
    ///
    /// `boundary` says whether the pixel lies in the predicted mask's boundary band. `None` for multi-class
    /// calibrators.
    pub fn binary(&self, index: u16, boundary: bool) -> Option<u16> {
        let table = match self.kind {
            Kind::Shared => self.tables.first(),
            Kind::BoundaryInterior => self.tables.get(usize::from(boundary)),
            Kind::Softmax | Kind::OneVsRest => None,
        };
        table.map(|table| table.entry(usize::from(index)))
    }

    /// Calibrated probabilities (value / 65535, each at least 1) of one pixel's logits into `out`.
    ///
    /// Integer after the index: w = table entry, p = round-half-up(65535·w / Σw). Returns `false`, with
    /// `out` untouched, for binary calibrators or when `out` or the tables do not match the logits.
    pub fn multiclass(&self, logits: &[f32], out: &mut [u16]) -> bool {
        let shared = match (self.kind, self.tables.as_slice()) {
            (Kind::Softmax, [table]) => Some(table),
            (Kind::OneVsRest, tables) if tables.len() == logits.len() => None,
            _ => return false,
        };
        if out.len() != logits.len() {
            return false;
        }
        for (class, slot) in out.iter_mut().enumerate() {
            let offset = relative_logit(logits, class, self.kind);
            let index = usize::from(logit_index(offset, self.step));
            *slot = shared.or(self.tables.get(class)).map_or(1, |table| table.entry(index));
        }
        let sum: u64 = out.iter().map(|weight| u64::from(*weight)).sum();
        for slot in out.iter_mut() {
            let share = (2 * 65_535 * u64::from(*slot) + sum) / (2 * sum);
            *slot = share.clamp(1, 65_535) as u16;
        }
        true
    }
}

/// The logit a multi-class table is indexed by: relative to the largest (softmax) or the largest other one.
///
/// The margin to the largest other logit equals the log-odds for two classes and exceeds them by at most
/// ln(C − 1) for C; unlike the log-odds it needs no exponential.
pub(super) fn relative_logit(logits: &[f32], class: usize, kind: Kind) -> f64 {
    let others = logits.iter().enumerate().filter(|(other, _)| kind == Kind::Softmax || *other != class);
    let largest = others.map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max);
    f64::from(logits.get(class).copied().unwrap_or(f32::NAN)) - f64::from(largest)
}
