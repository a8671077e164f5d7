//! Matrix products on `ndarray` behind a checked interface, and the MatMul operator.

#[cfg(test)]
mod tests;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

use super::layout;
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

/// `out = a · b` with a [m, k], b [k, n] and `out` row-major [m, n]; `extent` is [m, k, n].
///
/// # Panics
/// When a matrix does not fit its slice: callers derive the extents from shapes they have checked.
pub(super) fn multiply(extent: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    let [m, k, n] = extent;
    assert_eq!(m.checked_mul(n), Some(out.len()), "the product does not fit its buffer");
    if out.is_empty() || k == 0 {
        out.fill(0.0);
        return;
    }
    assert!(a.holds(m, k) && b.holds(k, n), "an operand of the product lies outside its slice");
    let left = ArrayView2::from_shape((m, k).strides((a.row_stride, a.column_stride)), a.data);
    let right = ArrayView2::from_shape((k, n).strides((b.row_stride, b.column_stride)), b.data);
    let (Ok(left), Ok(right), Ok(mut product)) = (left, right, ArrayViewMut2::from_shape((m, n), out)) else {
        panic!("the strides of an operand do not describe a matrix");
    };
    general_mat_mul(1.0, &left, &right, 0.0, &mut product);
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
        multiply([m, k, n], Matrix::row_major(a, k), Matrix::row_major(b, n), product);
    }
    Ok(Tensor::f32(declared.to_vec(), out))
}
