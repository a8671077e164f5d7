//! Frame geometry: antialiased resizing in integers, tiling, and the way back to the frame's own pixels.

use candor_core::package::Geometry;

/// Fraction bits of a resampling coefficient.
const PRECISION: u32 = 22;
/// Columns summed together by loops of constant length.
const SPAN: usize = 64;

/// Coefficients of one axis: for each output position the first input position and its weights.
#[derive(Debug, Clone, Default)]
pub struct Resampler {
    starts: Vec<usize>,
    weights: Vec<u32>,
    taps: usize,
    input: usize,
}

impl Resampler {
    /// A triangle filter from `input` to `output` positions, widened by the scale when shrinking.
    ///
    /// # Exactness
    /// The coefficients and rounding of Pillow's `Image.resize(.., BILINEAR)` along one axis of 8-bit
    /// images: f64 in a
    /// stated order, then fixed point with 22 fraction bits.
    pub fn new(input: usize, output: usize) -> Self {
        let scale = input as f64 / output as f64;
        let support = scale.max(1.0);
        let taps = support.ceil() as usize * 2 + 1;
        let mut resampler = Self { starts: Vec::new(), weights: Vec::new(), taps, input };
        for at in 0..output {
            let centre = (at as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(input);
            let distance = |i: usize| (i as f64 - centre + 0.5) * (1.0 / support);
            let triangle = |i: usize| (1.0 - distance(i).abs()).max(0.0);
            let total: f64 = (first..last).map(triangle).sum();
            let fixed = |i: usize| (0.5 + triangle(i) / total * f64::from(1 << PRECISION)) as u32;
            resampler.starts.push(first);
            resampler.weights.extend((first..last).map(fixed));
            resampler.weights.resize(resampler.starts.len() * taps, 0);
        }
        resampler
    }

    fn is_identity(&self) -> bool {
        self.starts.len() == self.input
    }

    /// First input position and weights of output `at`; positions past the input take no part.
    fn taps(&self, at: usize) -> (usize, &[u32]) {
        (self.starts[at], &self.weights[at * self.taps..(at + 1) * self.taps])
    }

    /// Resizes a row-major plane of `height × self.input` samples along its columns.
    pub fn columns(&self, plane: &[u16], target: &mut [u16]) {
        let width = self.starts.len();
        for (source, row) in plane.chunks_exact(self.input).zip(target.chunks_exact_mut(width)) {
            if self.is_identity() {
                row.copy_from_slice(source);
                continue;
            }
            for (x, sample) in row.iter_mut().enumerate() {
                let (start, weights) = self.taps(x);
                let products = source[start..].iter().zip(weights);
                *sample = rounded(products.map(|(&sample, &weight)| product(sample, weight)).sum());
            }
        }
    }

    /// Resizes a row-major plane of `self.input × width` samples along its rows.
    pub fn rows(&self, plane: &[u16], width: usize, target: &mut [u16]) {
        if self.is_identity() {
            return target.copy_from_slice(&plane[..target.len()]);
        }
        for (y, row) in target.chunks_exact_mut(width).enumerate() {
            let (start, weights) = self.taps(y);
            for (index, part) in row.chunks_mut(SPAN).enumerate() {
                let mut sums = [0u64; SPAN];
                let rows = plane[start * width..].chunks_exact(width);
                for (source, &weight) in rows.zip(weights) {
                    for (sum, &sample) in sums.iter_mut().zip(&source[index * SPAN..]) {
                        *sum += product(sample, weight);
                    }
                }
                part.iter_mut().zip(sums).for_each(|(sample, sum)| *sample = rounded(sum));
            }
        }
    }
}

/// A sample times its weight.
fn product(sample: u16, weight: u32) -> u64 {
    u64::from(sample) * u64::from(weight)
}

/// A weighted sum without the fraction bits, rounded to nearest.
fn rounded(sum: u64) -> u16 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).min(u64::from(u16::MAX)) as u16
}

/// The part of a frame that one run of the model covers, along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First frame position the model sees.
    pub origin: usize,
    /// First frame position whose result is taken from this run.
    pub from: usize,
    /// One past the last.
    pub to: usize,
}

/// Spans of `extent` frame positions for a model of `model` positions: one for resize or small frames,
/// else tiles that
/// overlap by `overlap` and hand over in the middle of it.
pub fn spans(geometry: Geometry, extent: usize, model: usize) -> Vec<Span> {
    let overlap = match geometry {
        Geometry::Tile { overlap } if extent > model => overlap.min(model - 1),
        _ => return vec![Span { origin: 0, from: 0, to: extent }],
    };
    let stride = model - overlap;
    let count = (extent - overlap).div_ceil(stride);
    let origin = |index: usize| (index * stride).min(extent - model);
    let from = |index: usize| {
        if index == 0 {
            return 0;
        }
        let shared = origin(index - 1) + model - origin(index);
        origin(index) + shared / 2
    };
    (0..count)
        .map(|index| Span {
            origin: origin(index),
            from: from(index),
            to: if index + 1 == count { extent } else { from(index + 1) },
        })
        .collect()
}

/// `position` mirrored into `0..extent` without repeating the edge.
pub fn mirror(position: usize, extent: usize) -> usize {
    if extent == 1 {
        return 0;
    }
    let folded = position % (2 * (extent - 1));
    folded.min(2 * (extent - 1) - folded)
}

/// The model position whose pixel covers frame position `at` when a frame of `extent` is resized to
/// `model`.
pub fn nearest(at: usize, extent: usize, model: usize) -> usize {
    ((2 * at + 1) * model / (2 * extent)).min(model - 1)
}

/// [`nearest`] of `at`, `at + 1` …, without a division for each.
pub fn nearest_from(at: usize, extent: usize, model: usize) -> impl Iterator<Item = usize> {
    let (divisor, step) = (2 * extent, 2 * model);
    let start = (2 * at + 1) * model;
    let (mut position, mut rest) = (start / divisor, start % divisor);
    let (whole, part) = (step / divisor, step % divisor);
    core::iter::repeat_with(move || {
        let current = position.min(model - 1);
        rest += part;
        position += whole + usize::from(rest >= divisor);
        rest -= if rest >= divisor { divisor } else { 0 };
        current
    })
}

#[cfg(test)]
mod tests;
