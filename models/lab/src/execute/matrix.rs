//! Matrix products on the `gemm` crate behind a checked interface, and the MatMul operator.

#[cfg(test)]
mod tests;

use gemm::Parallelism;

use super::{layout, parallel};
use crate::network::Tensor;

/// A strided matrix inside a slice: element (r, c) is `data[r · row_stride + c · column_stride]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    /// The elements, from (0, 0) on.
    pub data: &'a [f32],
    /// Distance between rows, in elements.
    pub row_stride: usize,
    /// Distance between columns, in elements.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix whose rows lie `row_stride` apart.
    pub fn row_major(data: &'a [f32], row_stride: usize) -> Self {
        Self { data, row_stride, column_stride: 1 }
    }

    /// True when a matrix of this extent lies inside the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        let row = (rows - 1).checked_mul(self.row_stride);
        let column = (columns - 1).checked_mul(self.column_stride);
        let last = row.zip(column).and_then(|(row, column)| row.checked_add(column));
        last.is_some_and(|last| last < self.data.len() && isize::try_from(last).is_ok())
    }
}

/// `out = a · b` with a [m, k], b [k, n] and `out` row-major [m, n]; `extent` is [m, k, n]. On all cores when
/// `spread`, otherwise on the calling thread.
///
/// # Panics
/// When a matrix does not fit its slice: callers derive the extents from shapes they have checked.
pub(super) fn multiply(extent: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], spread: bool) {
    let [m, k, n] = extent;
    assert_eq!(m.checked_mul(n), Some(out.len()), "the product does not fit its buffer");
    if out.is_empty() || k == 0 {
        out.fill(0.0);
        return;
    }
    assert!(a.holds(m, k) && b.holds(k, n), "an operand of the product lies outside its slice");
    let parallelism = if spread { Parallelism::Rayon(parallel::threads()) } else { Parallelism::None };
    // SAFETY: `gemm` reads a [m, k] and b [k, n] and writes out [m, n] through these pointers and strides;
    // `holds` has checked the last element of both operands (strides are not negative, so no other lies
    // further, and their values fit isize), `out` has exactly m · n elements and, being borrowed mutably,
    // overlaps neither operand. With `read_dst` false, `out` is written without being read.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n.cast_signed(),
            false,
            a.data.as_ptr(),
            a.column_stride.cast_signed(),
            a.row_stride.cast_signed(),
            b.data.as_ptr(),
            b.column_stride.cast_signed(),
            b.row_stride.cast_signed(),
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// ONNX MatMul (`numpy.matmul`) of a [.., M, K] and b [.., K, N]; leading axes broadcast.
///
/// # Errors
/// When an operand is not float or has rank below 2, or the shapes do not agree.
pub(super) fn matmul(a: &Tensor, b: &Tensor, declared: &[usize]) -> Result<Tensor, String> {
    let (left, right) = (layout::floats(a, "a")?, layout::floats(b, "b")?);
    let (Some((batch_a, &[m, k])), Some((batch_b, &[k_b, n]))) =
        (a.shape.split_last_chunk::<2>(), b.shape.split_last_chunk::<2>())
    else {
        return Err("both operands must have rank 2 or more".into());
    };
    if k != k_b {
        return Err(format!("a has {k} columns, b has {k_b} rows"));
    }
    let batch = layout::broadcast(batch_a, batch_b)?;
    layout::expect(&[&batch[..], &[m, n]].concat(), declared)?;
    let mut out = vec![0.0; layout::volume(declared)?];
    if out.is_empty() {
        return Ok(Tensor::f32(declared.to_vec(), out));
    }
    let (strides_a, strides_b) =
        (layout::broadcast_strides(batch_a, &batch), layout::broadcast_strides(batch_b, &batch));
    for (index, product) in out.chunks_mut(m * n).enumerate() {
        let a =
            left.get(layout::offset(index, &batch, &strides_a).unsigned_abs() * m * k..).unwrap_or_default();
        let b =
            right.get(layout::offset(index, &batch, &strides_b).unsigned_abs() * k * n..).unwrap_or_default();
        multiply([m, k, n], Matrix::row_major(a, k), Matrix::row_major(b, n), product, true);
    }
    Ok(Tensor::f32(declared.to_vec(), out))
}
