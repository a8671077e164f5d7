//! Operators that move elements without computing: Reshape, Transpose, Slice, Expand, Gather, Concat, Pad.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::layout::{self, View};
use crate::network::{Data, PadMode, Tensor};

/// An element type of [`Data`].
trait Element: Copy {
    /// The elements, when `data` is of this type.
    fn of(data: &Data) -> Option<&[Self]>;
    /// The nearest value to a Pad constant.
    fn from_f32(value: f32) -> Self;
}

macro_rules! element {
    ($type:ty, $variant:ident, $from_f32:expr) => {
        impl Element for $type {
            fn of(data: &Data) -> Option<&[Self]> {
                if let Data::$variant(values) = data { Some(values) } else { None }
            }
            fn from_f32(value: f32) -> Self {
                $from_f32(value)
            }
        }
    };
}

element!(f32, F32, |value| value);
element!(i64, I64, |value| value as i64);
element!(i8, I8, |value| value as i8);
element!(u8, U8, |value| value as u8);
element!(bool, Bool, |value| value != 0.0);

/// Evaluates `$body` with `$elements` bound to the elements, whatever their type, and wraps the result
/// alike.
macro_rules! for_type {
    ($data:expr, $elements:ident => $body:expr) => {
        match $data {
            Data::F32($elements) => Data::F32($body),
            Data::I64($elements) => Data::I64($body),
            Data::I8($elements) => Data::I8($body),
            Data::U8($elements) => Data::U8($body),
            Data::Bool($elements) => Data::Bool($body),
        }
    };
}

/// The same elements under another shape.
///
/// # Errors
/// When `declared` has another number of elements.
pub(super) fn reshape(x: Cow<'_, Tensor>, declared: &[usize]) -> Result<Tensor, String> {
    if x.len() != layout::volume(declared)? {
        return Err(format!("shape {declared:?} does not hold {} elements", x.len()));
    }
    Ok(Tensor { shape: declared.to_vec(), data: x.into_owned().data })
}

/// x with its axes reordered: axis `i` of the result is axis `permutation[i]` of x.
///
/// # Errors
/// When `permutation` is not one of x's axes, or the result is not of shape `declared`.
pub(super) fn transpose(x: &Tensor, permutation: &[usize], declared: &[usize]) -> Result<Tensor, String> {
    let result = permute(x, permutation)?;
    layout::expect(&result.shape, declared)?;
    Ok(result)
}

/// [`transpose`] to whatever shape results.
///
/// # Errors
/// When `permutation` is not one of x's axes.
pub(super) fn permute(x: &Tensor, permutation: &[usize]) -> Result<Tensor, String> {
    let rank = x.shape.len();
    if permutation.len() != rank || (0..rank).any(|axis| !permutation.contains(&axis)) {
        return Err(format!("{permutation:?} is not a permutation of {rank} axes"));
    }
    let strides = layout::strides(&x.shape);
    let (shape, strides): (Vec<_>, Vec<_>) =
        permutation.iter().map(|&axis| (x.shape[axis], strides[axis])).unzip();
    read(x, &View::new(0, &shape, &strides), &shape)
}

/// Along each axis the elements `start`, `start + step`, .., as many as `declared` says.
///
/// # Errors
/// When ranks differ or an index leaves x.
pub(super) fn slice(x: &Tensor, start: &[usize], step: &[i64], declared: &[usize]) -> Result<Tensor, String> {
    let rank = x.shape.len();
    if start.len() != rank || step.len() != rank || declared.len() != rank {
        return Err(format!("start {start:?}, step {step:?} and result {declared:?} must have rank {rank}"));
    }
    let mut origin = 0;
    let mut strides = layout::strides(&x.shape);
    for axis in 0..rank {
        let count = declared[axis] as i128;
        let last = start[axis] as i128 + (count - 1) * i128::from(step[axis]);
        let inside = 0..x.shape[axis] as i128;
        if count > 0 && !(inside.contains(&(start[axis] as i128)) && inside.contains(&last)) {
            return Err(format!("axis {axis}: indices {}..{last} leave 0..{}", start[axis], x.shape[axis]));
        }
        if count > 1 {
            strides[axis] *= step[axis] as isize;
        }
        if count > 0 {
            origin += start[axis] * layout::around(&x.shape, axis)?[2];
        }
    }
    read(x, &View::new(origin, declared, &strides), declared)
}

/// x repeated along axes of extent 1, and along new leading axes, to shape `declared`.
///
/// # Errors
/// When x does not broadcast to `declared`.
pub(super) fn expand(x: &Tensor, declared: &[usize]) -> Result<Tensor, String> {
    layout::expect(&layout::broadcast(&x.shape, declared)?, declared)?;
    read(x, &View::new(0, declared, &layout::broadcast_strides(&x.shape, declared)), declared)
}

/// Copies a view of x into a tensor of shape `shape`.
fn read(x: &Tensor, view: &View, shape: &[usize]) -> Result<Tensor, String> {
    if !view.fits(layout::data_len(&x.data)) || view.len() != layout::volume(shape)? {
        return Err(format!("reads outside its operand of shape {:?}", x.shape));
    }
    let data = for_type!(&x.data, elements => read_elements(elements, view));
    Ok(Tensor { shape: shape.to_vec(), data })
}

/// The elements of a view that fits `x`.
fn read_elements<T: Copy>(x: &[T], view: &View) -> Vec<T> {
    let len = view.len();
    let mut out = Vec::with_capacity(len);
    if len == 0 {
        return out;
    }
    for index in 0..len / view.run {
        let start = view.run_start(index);
        match view.stride {
            1 => out.extend_from_slice(&x[start..start + view.run]),
            0 => out.extend(std::iter::repeat_n(x[start], view.run)),
            stride if stride > 0 => {
                out.extend(x[start..].iter().step_by(stride.unsigned_abs()).take(view.run));
            }
            stride => out.extend(x[..=start].iter().rev().step_by(stride.unsigned_abs()).take(view.run)),
        }
    }
    out
}

/// The slices of x along `axis` that `indices` (i64, any shape; negative counts from the end) names.
///
/// # Errors
/// When the axis is absent, the indices are not i64 or leave it, or the result is not of shape `declared`.
pub(super) fn gather(
    x: &Tensor,
    indices: &Tensor,
    axis: usize,
    declared: &[usize],
) -> Result<Tensor, String> {
    let [_, extent, inner] = layout::around(&x.shape, axis)?;
    layout::expect(&[&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat(), declared)?;
    let Data::I64(indices) = &indices.data else {
        return Err(format!("indices must be i64, are {}", layout::type_name(&indices.data)));
    };
    let mut positions = Vec::with_capacity(indices.len());
    for &index in indices {
        let from_start = if index < 0 { index.checked_add_unsigned(extent as u64) } else { Some(index) };
        match from_start.and_then(|index| usize::try_from(index).ok()).filter(|&index| index < extent) {
            Some(position) => positions.push(position),
            None => return Err(format!("index {index} leaves axis {axis} of extent {extent}")),
        }
    }
    let data = for_type!(&x.data, elements => {
        let mut out = Vec::with_capacity(layout::volume(declared)?);
        for slab in elements.chunks((extent * inner).max(1)) {
            for position in &positions {
                out.extend_from_slice(&slab[position * inner..][..inner]);
            }
        }
        out
    });
    Ok(Tensor { shape: declared.to_vec(), data })
}

/// The operands one after the other along `axis`.
///
/// # Errors
/// When types differ, the axis is absent, other extents differ, or the result is not of shape `declared`.
pub(super) fn concat(parts: &[&Tensor], axis: usize, declared: &[usize]) -> Result<Tensor, String> {
    let Some(first) = parts.first() else {
        return Err("has no operand".into());
    };
    layout::around(&first.shape, axis)?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for part in parts {
        let alike = part.shape.len() == shape.len()
            && part
                .shape
                .iter()
                .zip(&shape)
                .enumerate()
                .all(|(at, (part, shape))| at == axis || part == shape);
        if !alike {
            return Err(format!("shapes {:?} and {:?} differ beside axis {axis}", first.shape, part.shape));
        }
        shape[axis] += part.shape[axis];
    }
    layout::expect(&shape, declared)?;
    let data = for_type!(&first.data, elements => concat_elements(elements, parts, axis)?);
    Ok(Tensor { shape, data })
}

/// The elements of the concatenation; `first` only fixes the type.
fn concat_elements<T: Element>(first: &[T], parts: &[&Tensor], axis: usize) -> Result<Vec<T>, String> {
    let mut sources = Vec::with_capacity(parts.len());
    let mut outer_extent = 0;
    for part in parts {
        let elements = T::of(&part.data).ok_or_else(|| {
            format!("{} cannot follow elements of another type", layout::type_name(&part.data))
        })?;
        let [outer, extent, inner] = layout::around(&part.shape, axis)?;
        outer_extent = outer;
        sources.push((elements, extent * inner));
    }
    let mut out = Vec::with_capacity(
        sources.iter().map(|(elements, _)| elements.len()).sum::<usize>().max(first.len()),
    );
    for index in 0..outer_extent {
        for &(elements, length) in &sources {
            out.extend_from_slice(&elements[index * length..][..length]);
        }
    }
    Ok(out)
}

/// x with `pads` (begin of every axis, then end of every axis) elements added around it.
///
/// # Errors
/// When `pads` does not have two entries per axis, an empty axis would have to be mirrored or repeated, or
/// the result is not of shape `declared`.
pub(super) fn pad(x: &Tensor, pads: &[usize], mode: PadMode, declared: &[usize]) -> Result<Tensor, String> {
    let rank = x.shape.len();
    let (true, Some((begins, ends))) = (pads.len() == 2 * rank, pads.split_at_checked(rank)) else {
        return Err(format!("{} pads for {rank} axes", pads.len()));
    };
    let mut shape = Vec::with_capacity(rank);
    for ((&extent, begin), &end) in x.shape.iter().zip(begins).zip(ends) {
        shape.push(begin.checked_add(extent).and_then(|n| n.checked_add(end)).ok_or("the pads overflow")?);
    }
    layout::expect(&shape, declared)?;
    let mut axes = Vec::with_capacity(rank);
    for (axis, &begin) in begins.iter().enumerate() {
        let extent = x.shape[axis];
        if extent == 0 && shape[axis] > 0 && !matches!(mode, PadMode::Constant(_)) {
            return Err(format!("axis {axis} is empty and cannot be mirrored or repeated"));
        }
        let sources = (0..shape[axis]).map(|at| source(at, begin, extent, mode)).collect();
        axes.push((extent, sources));
    }
    let constant = if let PadMode::Constant(value) = mode { value } else { 0.0 };
    let volume = layout::volume(declared)?;
    let data = for_type!(&x.data, elements => {
        let mut out = Vec::with_capacity(volume);
        pad_axis(elements, &axes, Element::from_f32(constant), volume, &mut out);
        out
    });
    Ok(Tensor { shape, data })
}

/// Which element of an axis of `extent` elements, `begin` of them added before it, stands at `at`; none in
/// constant padding.
fn source(at: usize, begin: usize, extent: usize, mode: PadMode) -> Option<usize> {
    match mode {
        PadMode::Constant(_) => at.checked_sub(begin).filter(|&index| index < extent),
        PadMode::Edge => Some(at.saturating_sub(begin).min(extent - 1)),
        PadMode::Reflect => {
            // Mirroring at both ends repeats every 2 · (extent − 1) elements.
            let period = (2 * (extent - 1)).max(1);
            let phase = at.abs_diff(begin) % period;
            Some(phase.min(period - phase))
        }
    }
}

/// Appends x, padded along `axes`, to `out`: each axis is its extent in x and, for every place in the
/// result, the element that stands there. `volume` is the number of elements appended.
fn pad_axis<T: Copy>(
    x: &[T],
    axes: &[(usize, Vec<Option<usize>>)],
    fill: T,
    volume: usize,
    out: &mut Vec<T>,
) {
    let Some(((extent, sources), inner)) = axes.split_first() else {
        out.extend_from_slice(x);
        return;
    };
    let (length, inner_volume) = (x.len() / extent.max(&1), volume / sources.len().max(1));
    for source in sources {
        match source {
            Some(index) if inner.is_empty() => out.push(x[*index]),
            Some(index) => pad_axis(&x[index * length..][..length], inner, fill, inner_volume, out),
            None => out.extend(std::iter::repeat_n(fill, inner_volume)),
        }
    }
}
