//! Extents, strides, broadcasting and typed access: what every operator asks of a tensor before it
//! computes.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::network::{Data, Tensor};

/// Most elements a tensor may have (8 GiB of floats).
pub(super) const ELEMENTS_MAX: usize = 1 << 31;
/// Most axes a tensor may have.
const RANK_MAX: usize = 32;

/// Number of elements of a tensor of this shape.
///
/// # Errors
/// When the rank exceeds [`RANK_MAX`], or the extents other than 0 multiply to more than [`ELEMENTS_MAX`].
pub(super) fn volume(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > RANK_MAX {
        return Err(format!("rank {} > {RANK_MAX}", shape.len()));
    }
    let bounded = shape.iter().try_fold(1usize, |volume, &extent| volume.checked_mul(extent.max(1)));
    match bounded {
        Some(bounded) if bounded <= ELEMENTS_MAX => Ok(shape.iter().product()),
        _ => Err(format!("shape {shape:?} has more than {ELEMENTS_MAX} elements")),
    }
}

/// Number of elements stored.
pub(super) fn data_len(data: &Data) -> usize {
    match data {
        Data::F32(x) => x.len(),
        Data::I64(x) => x.len(),
        Data::I8(x) => x.len(),
        Data::U8(x) => x.len(),
        Data::Bool(x) => x.len(),
    }
}

/// Name of the element type, for messages.
pub(super) fn type_name(data: &Data) -> &'static str {
    match data {
        Data::F32(_) => "f32",
        Data::I64(_) => "i64",
        Data::I8(_) => "i8",
        Data::U8(_) => "u8",
        Data::Bool(_) => "bool",
    }
}

/// The elements of a float operand.
///
/// # Errors
/// Names the role and the type found.
pub(super) fn floats<'a>(tensor: &'a Tensor, role: &str) -> Result<&'a [f32], String> {
    tensor.as_f32().ok_or_else(|| format!("{role} must be f32, is {}", type_name(&tensor.data)))
}

/// The elements of a float operand as a vector; moved when owned, copied when borrowed.
///
/// # Errors
/// Names the role and the type found.
pub(super) fn into_floats(tensor: Cow<'_, Tensor>, role: &str) -> Result<Vec<f32>, String> {
    floats(&tensor, role)?;
    match tensor.into_owned().data {
        Data::F32(values) => Ok(values),
        other => Err(format!("{role} must be f32, is {}", type_name(&other))),
    }
}

/// The elements of a float operand of shape [`channels`].
///
/// # Errors
/// Names the role and what differs.
pub(super) fn channel_floats<'a>(
    tensor: &'a Tensor,
    role: &str,
    channels: usize,
) -> Result<&'a [f32], String> {
    if tensor.shape != [channels] {
        return Err(format!("{role} must have shape [{channels}], has {:?}", tensor.shape));
    }
    floats(tensor, role)
}

/// Checks a computed shape against the one the network declares.
///
/// # Errors
/// Names both.
pub(super) fn expect(computed: &[usize], declared: &[usize]) -> Result<(), String> {
    if computed == declared {
        return Ok(());
    }
    Err(format!("the result has shape {computed:?}, the network declares {declared:?}"))
}

/// `shape` as three extents: before, at, and after `axis`.
///
/// # Errors
/// When there is no such axis.
pub(super) fn around(shape: &[usize], axis: usize) -> Result<[usize; 3], String> {
    let extent = *shape.get(axis).ok_or_else(|| format!("there is no axis {axis} in shape {shape:?}"))?;
    Ok([shape.iter().take(axis).product(), extent, shape.iter().skip(axis + 1).product()])
}

/// The shape two shapes broadcast to (NumPy rules).
///
/// # Errors
/// When aligned extents differ and neither is 1.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let aligned = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).and_then(|axis| shape.get(axis).copied()).unwrap_or(1)
    };
    let extents = (0..rank).map(|axis| match (aligned(a, axis), aligned(b, axis)) {
        (a, b) if a == b => Ok(a),
        (1, other) | (other, 1) => Ok(other),
        _ => Err(format!("shapes {a:?} and {b:?} do not broadcast")),
    });
    extents.collect()
}

/// Row-major strides of `shape`, in elements.
pub(super) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].cast_signed();
    }
    strides
}

/// Strides that read a tensor of shape `from` as one of shape `to`, to which it broadcasts.
pub(super) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<isize> {
    let repeated = std::iter::repeat_n(0, to.len() - from.len());
    let own =
        strides(from).into_iter().zip(from).map(|(stride, &extent)| if extent == 1 { 0 } else { stride });
    repeated.chain(own).collect()
}

/// Distance of the element with row-major number `index` in `shape` under `strides`.
pub(super) fn offset(mut index: usize, shape: &[usize], strides: &[isize]) -> isize {
    let mut offset = 0;
    for (&extent, stride) in shape.iter().zip(strides).rev() {
        offset += (index % extent).cast_signed() * stride;
        index /= extent;
    }
    offset
}

/// A tensor read in another order, as evenly spaced runs of elements: neighbouring axes that continue each
/// other are one run.
#[derive(Debug)]
pub(super) struct View {
    /// Offset of the first element.
    start: usize,
    /// Extents and strides of the axes outside a run.
    outer: Vec<usize>,
    outer_strides: Vec<isize>,
    /// Elements of a run.
    pub run: usize,
    /// Distance between the elements of a run.
    pub stride: isize,
}

impl View {
    /// The view whose element (i₀, i₁, ..) is at `start + Σ i·stride`, over the axes of `shape`.
    pub fn new(start: usize, shape: &[usize], strides: &[isize]) -> Self {
        let mut view = Self { start, outer: Vec::new(), outer_strides: Vec::new(), run: 1, stride: 1 };
        let mut axes =
            shape.iter().copied().zip(strides.iter().copied()).rev().filter(|&(extent, _)| extent != 1);
        if let Some((extent, stride)) = axes.next() {
            (view.run, view.stride) = (extent, stride);
        }
        for (extent, stride) in axes {
            if view.outer.is_empty() && stride == view.run.cast_signed() * view.stride {
                view.run *= extent;
            } else {
                view.outer.push(extent);
                view.outer_strides.push(stride);
            }
        }
        view.outer.reverse();
        view.outer_strides.reverse();
        view
    }

    /// Elements of the whole view.
    pub fn len(&self) -> usize {
        self.run * self.outer.iter().product::<usize>()
    }

    /// True when every element lies inside a slice of `len` elements.
    pub fn fits(&self, len: usize) -> bool {
        if self.len() == 0 {
            return true;
        }
        let start = self.start as i128;
        let (mut first, mut last) = (start, start);
        let outer = self.outer.iter().zip(&self.outer_strides);
        for (&extent, &stride) in outer.chain([(&self.run, &self.stride)]) {
            let reach = (extent as i128 - 1) * stride as i128;
            first += reach.min(0);
            last += reach.max(0);
        }
        first >= 0 && last < len as i128
    }

    /// Offset of the first element of run `index`; inside the slice when the view [fits](Self::fits).
    pub fn run_start(&self, index: usize) -> usize {
        self.start.wrapping_add_signed(offset(index, &self.outer, &self.outer_strides))
    }
}
