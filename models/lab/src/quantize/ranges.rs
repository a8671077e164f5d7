//! Activation ranges from calibration frames, by several methods.

use super::{Quantization, QuantizedNetwork};
use crate::execute::{self, ExecuteError};
use crate::network::{Network, Tensor};

/// Histogram bins per value.
const BINS: usize = 2048;

/// How a range is chosen from the observed values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Least and greatest value seen.
    MinMax,
    /// The interval that leaves out this share of the values at each end.
    Percentile(f64),
    /// The interval with the least mean squared quantization error (OCTAV-like search over shrunken
    /// min–max).
    LeastSquares,
}

impl Method {
    /// The candidates that packing compares.
    pub const ALL: [Self; 4] =
        [Self::MinMax, Self::Percentile(1e-5), Self::Percentile(1e-4), Self::LeastSquares];

    /// Name as reports print it.
    pub fn name(self) -> String {
        match self {
            Self::MinMax => "min-max".into(),
            Self::Percentile(share) => format!("percentile {}", 100.0 * (1.0 - share)),
            Self::LeastSquares => "least squares".into(),
        }
    }
}

/// Observed distribution of every value of a network.
#[derive(Debug, Clone)]
pub struct Observed {
    limits: Vec<[f32; 2]>,
    histograms: Vec<Vec<u64>>,
}

/// Runs the float network over `frames` twice (limits, then histograms).
///
/// # Errors
/// [`ExecuteError`] of the float executor.
pub fn observe(network: &Network, frames: &[Vec<Tensor>]) -> Result<Observed, ExecuteError> {
    let mut limits = vec![[0.0f32; 2]; network.values.len()];
    for inputs in frames {
        execute::run(network, inputs, &mut |value, tensor| {
            for &x in tensor.as_f32().unwrap_or_default() {
                limits[value][0] = limits[value][0].min(x);
                limits[value][1] = limits[value][1].max(x);
            }
        })?;
    }
    let mut histograms = vec![Vec::new(); network.values.len()];
    for inputs in frames {
        execute::run(network, inputs, &mut |value, tensor| {
            let [low, high] = limits[value];
            let per_bin = BINS as f32 / (high - low).max(f32::MIN_POSITIVE);
            let bins = &mut histograms[value];
            bins.resize(BINS, 0u64);
            for &x in tensor.as_f32().unwrap_or_default() {
                bins[(((x - low) * per_bin) as usize).min(BINS - 1)] += 1;
            }
        })?;
    }
    Ok(Observed { limits, histograms })
}

impl Observed {
    /// The range of `value` by `method`.
    fn range(&self, value: usize, method: Method) -> [f32; 2] {
        let [low, high] = self.limits[value];
        let bins = &self.histograms[value];
        if bins.is_empty() || high <= low {
            return [low, high];
        }
        let width = (high - low) / BINS as f32;
        match method {
            Method::MinMax => [low, high],
            Method::Percentile(share) => {
                let total: u64 = bins.iter().sum();
                let spare = (total as f64 * share) as u64;
                let skip = |bins: &mut dyn Iterator<Item = &u64>| {
                    let mut seen = 0;
                    bins.take_while(|count| {
                        seen += **count;
                        seen <= spare
                    })
                    .count()
                };
                let (below, above) = (skip(&mut bins.iter()), skip(&mut bins.iter().rev()));
                [low + below as f32 * width, high - above as f32 * width]
            }
            Method::LeastSquares => self.least_squares(value),
        }
    }

    fn least_squares(&self, value: usize) -> [f32; 2] {
        let [low, high] = self.limits[value];
        let bins = &self.histograms[value];
        let centre = |bin: usize| low + (bin as f32 + 0.5) * (high - low) / BINS as f32;
        let error = |candidate: [f32; 2]| {
            let q = Quantization::covering(candidate[0], candidate[1]);
            let squares = bins.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, &count)| {
                let x = centre(bin);
                let clipped = x.clamp(q.real(0), q.real(255));
                let clip = f64::from(x - clipped);
                (clip * clip + f64::from(q.scale) * f64::from(q.scale) / 12.0) * count as f64
            });
            squares.sum::<f64>()
        };
        let shrink = |step: u32| 1.0 - step as f32 / 64.0;
        let candidates = (0..60).map(|step| [low * shrink(step), high * shrink(step)]);
        let best = candidates.map(|c| (error(c), c)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or([low, high], |(_, candidate)| candidate)
    }

    /// Quantization of every value of `network` by `method`.
    pub fn quantize(&self, network: &Network, method: Method) -> QuantizedNetwork {
        let activations = (0..network.values.len())
            .map(|value| {
                let [low, high] = self.range(value, method);
                network.values[value].constant.is_none().then(|| Quantization::covering(low, high))
            })
            .collect();
        QuantizedNetwork { network: network.clone(), activations, ..Default::default() }
    }
}
