//! From output values to mask and confidence, by tables: no exponential and no float map on the device.

use crate::arithmetic::share;
use crate::package::{Activation, Head, INDEX_CENTRE, INDEX_COUNT, PackageError, Section};
use crate::tensor::Rows;

mod boundary;
mod pair;
mod remap;
mod rows;

pub use pair::PairTable;
pub use remap::{KNOTS, capped_identity, mapped, remap};

/// Full scale of a probability.
pub const CERTAIN: u16 = u16::MAX;
/// Chebyshev radius, in model pixels, of the band around label changes that counts as boundary.
pub const BOUNDARY_RADIUS: usize = 2;

/// The probability tables in force, in 1/65535.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'p> {
    /// Sigmoid: probability by logit index. Softmax: weight by 2048 plus the index difference to the
    /// greatest logit; a class's probability is its share of the weights. `[4096]`.
    pub base: &'p [u16],
    /// Sigmoid only: the table of pixels within [`BOUNDARY_RADIUS`] of a change in the predicted mask.
    pub boundary: Option<&'p [u16]>,
    /// Softmax only, instead of `base` when not empty: one-vs-rest tables by 2048 plus the index difference
    /// to the greatest other logit, `[classes][4096]`; a class's probability is its share of their sum.
    pub per_class: &'p [u16],
}

/// Name of a calibrator by its number in the calibration section.
pub const CALIBRATORS: [&str; 5] = ["identity", "temperature", "platt", "beta", "isotonic"];

impl<'p> Tables<'p> {
    /// The tables that reproduce the model's own probabilities.
    pub const fn uncalibrated(head: &Head<'p>) -> Self {
        Self { base: head.table, boundary: None, per_class: &[] }
    }

    /// Reads a calibration section: words calibrator number, table count, then tables of 4096 u16.
    ///
    /// A sigmoid head has one table or two (interior, boundary); a softmax head one of weights, or one per
    /// class.
    ///
    /// # Errors
    /// [`PackageError::Content`] names the first word out of range.
    pub fn parse(section: &'p [u8], head: &Head<'p>) -> Result<(Self, &'static str), PackageError> {
        let fault = |word: u32| PackageError::Content(Section::Calibration, word);
        let kind = crate::package::word(section, 0) as usize;
        let name = CALIBRATORS.get(kind).copied().ok_or(fault(0))?;
        let count = crate::package::word(section, 1) as usize;
        let many = match head.activation {
            Activation::Sigmoid => 2,
            Activation::Softmax => head.classes(),
        };
        if count != 1 && count != many {
            return Err(fault(1));
        }
        let tables: &[u16] =
            section.get(8..).and_then(|bytes| bytemuck::try_cast_slice(bytes).ok()).ok_or(fault(2))?;
        if tables.len() != count * INDEX_COUNT {
            return Err(fault(2));
        }
        let (base, rest) = tables.split_at(INDEX_COUNT);
        let boundary = (!rest.is_empty()).then_some(rest);
        let tables = match head.activation {
            Activation::Sigmoid => Self { base, boundary, per_class: &[] },
            Activation::Softmax if boundary.is_none() => Self { base, boundary, per_class: &[] },
            Activation::Softmax => Self { base, boundary: None, per_class: tables },
        };
        Ok((tables, name))
    }
}

/// Mask and confidence of the image rows that `output` holds: `mask` holds class numbers, `confidence` the
/// calibrated probability, in 1/65535, that the mask's class is right; both row-major `[rows·W]` of these
/// rows. The confidence of a sigmoid head is only begun: [`finish`] ends it.
///
/// The mask is the model's own decision (logit above zero, or greatest logit, first on ties); calibration
/// never changes it. Slices of another length are filled as far as they go.
pub fn apply(
    head: &Head<'_>,
    tables: &Tables<'_>,
    output: Rows<'_>,
    mask: &mut [u8],
    confidence: &mut [u16],
) {
    rows::apply(head, tables, output, mask, confidence);
}

/// Ends the confidence of the rows from `first` on that `confidence` holds, of a map `width` pixels wide,
/// once [`apply`] made the mask of these and of [`BOUNDARY_RADIUS`] rows on either side, as far as there are
/// any; `mask` is that of the whole map, `[H·W]`.
pub fn finish(
    head: &Head<'_>,
    tables: &Tables<'_>,
    width: usize,
    first: usize,
    mask: &[u8],
    confidence: &mut [u16],
) {
    let far = tables.base.first_chunk();
    let near = tables.boundary.map_or(far, <[u16]>::first_chunk);
    if let (Activation::Sigmoid, Some(far), Some(near)) = (head.activation, far, near) {
        match tables.boundary {
            Some(_) => boundary::finish([far, near], width, first, mask, confidence),
            None => {
                let pixels = mask.iter().skip(first * width).zip(confidence);
                pixels.for_each(|(&label, value)| *value = rows::of_label(far, *value, label));
            }
        }
    }
}

/// Calibrated probabilities of every class, planar `[classes][H·W]` in 1/65535, for evaluation; needs the
/// mask that [`apply`] made.
pub fn probabilities(
    head: &Head<'_>,
    tables: &Tables<'_>,
    output: Rows<'_>,
    mask: &[u8],
    planes: &mut [u16],
) {
    let (height, width) = (output.layout.height, output.layout.width);
    let pixels = height * width;
    for at in 0..pixels.min(mask.len()) {
        let (y, x) = (at / width, at % width);
        match head.activation {
            Activation::Sigmoid => {
                let index = head.index(output.value(y, x, 0), 0);
                let foreground = sigmoid_pixel(tables, mask, [height, width], at, index);
                planes[at] = CERTAIN - foreground;
                planes[pixels + at] = foreground;
            }
            Activation::Softmax => {
                let pixel = SoftmaxPixel::new(head, tables, output, y, x);
                for class in 0..head.channels {
                    planes[class * pixels + at] = pixel.probability(class);
                }
            }
        }
    }
}

/// True when a label within [`BOUNDARY_RADIUS`] of pixel `at` differs from its own.
pub fn is_boundary(mask: &[u8], extent: [usize; 2], at: usize) -> bool {
    let [height, width] = extent;
    let (y, x) = (at / width, at % width);
    let rows = y.saturating_sub(BOUNDARY_RADIUS)..(y + BOUNDARY_RADIUS + 1).min(height);
    let columns = x.saturating_sub(BOUNDARY_RADIUS)..(x + BOUNDARY_RADIUS + 1).min(width);
    rows.into_iter().any(|row| mask[row * width..][columns.clone()].iter().any(|&label| label != mask[at]))
}

fn sigmoid_pixel(tables: &Tables<'_>, mask: &[u8], extent: [usize; 2], at: usize, index: u16) -> u16 {
    let table = match tables.boundary {
        Some(boundary) if is_boundary(mask, extent, at) => boundary,
        _ => tables.base,
    };
    table[usize::from(index) % INDEX_COUNT]
}

/// The class weights of one pixel and their sum.
struct SoftmaxPixel<'a> {
    head: &'a Head<'a>,
    tables: &'a Tables<'a>,
    output: Rows<'a>,
    at: (usize, usize),
    class: usize,
    greatest: u16,
    second: u16,
    total: u32,
}

impl<'a> SoftmaxPixel<'a> {
    fn new(head: &'a Head<'a>, tables: &'a Tables<'a>, output: Rows<'a>, y: usize, x: usize) -> Self {
        let mut pixel = Self { head, tables, output, at: (y, x), class: 0, greatest: 0, second: 0, total: 0 };
        pixel.greatest = pixel.index(0);
        for class in 1..head.channels {
            let index = pixel.index(class);
            if index > pixel.greatest {
                pixel.second = pixel.greatest;
                (pixel.class, pixel.greatest) = (class, index);
            } else {
                pixel.second = pixel.second.max(index);
            }
        }
        pixel.total = (0..head.channels).map(|class| u32::from(pixel.weight(class))).sum();
        pixel
    }

    fn index(&self, class: usize) -> u16 {
        self.head.index(self.output.value(self.at.0, self.at.1, class), class)
    }

    fn weight(&self, class: usize) -> u16 {
        let per_class = !self.tables.per_class.is_empty();
        let rival = if per_class && class == self.class { self.second } else { self.greatest };
        let difference = i32::from(self.index(class)) - i32::from(rival);
        let entry = (INDEX_CENTRE + difference).clamp(0, INDEX_COUNT as i32 - 1) as usize;
        if per_class { self.tables.per_class[class * INDEX_COUNT + entry] } else { self.tables.base[entry] }
    }

    fn probability(&self, class: usize) -> u16 {
        share(self.weight(class), self.total)
    }
}

#[cfg(test)]
mod tests;
