//! Cholesky factorization and solution of small positive-definite systems, dense row-major f64.

/// Replaces the lower triangle of `matrix` (`[size][size]`, of which only the lower triangle is read) by
/// its Cholesky factor L, A = L·Lᵀ; row by row, sums in ascending index order (Golub & Van Loan, §4.2).
/// Returns `false`, with `matrix` partly overwritten, unless A is numerically positive definite and `size`²
/// long.
pub(crate) fn cholesky(matrix: &mut [f64], size: usize) -> bool {
    if size.checked_mul(size) != Some(matrix.len()) {
        return false;
    }
    for i in 0..size {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| matrix[i * size + k] * matrix[j * size + k]).sum();
            let rest = matrix[i * size + j] - sum;
            if i != j {
                matrix[i * size + j] = rest / matrix[j * size + j];
            } else if rest > 0.0 && rest.is_finite() {
                matrix[i * size + i] = rest.sqrt();
            } else {
                return false;
            }
        }
    }
    true
}

/// Solves L·Lᵀ·x = b for a factor from [`cholesky`]; `b` has one value per row.
pub(crate) fn solve(factor: &[f64], b: &[f64]) -> Vec<f64> {
    let size = b.len();
    let mut x = b.to_vec();
    for i in 0..size {
        let sum: f64 = (0..i).map(|k| factor[i * size + k] * x[k]).sum();
        x[i] = (x[i] - sum) / factor[i * size + i];
    }
    for i in (0..size).rev() {
        let sum: f64 = (i + 1..size).map(|k| factor[k * size + i] * x[k]).sum();
        x[i] = (x[i] - sum) / factor[i * size + i];
    }
    x
}
