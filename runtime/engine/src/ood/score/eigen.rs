//! Eigenvalues of a symmetric matrix in a stated order of operations.

use super::{LengthMismatch, check};

/// Most steps of the QL iteration for one eigenvalue; convergence is cubic and takes one or two.
const STEPS: usize = 60;

/// Sums that run side by side, so that a processor's registers can hold them.
const LANES: usize = 8;

/// Eigenvalues of a symmetric matrix `[n][n]`, both triangles given, largest first, into `values` `[n]`;
/// `matrix` is overwritten.
///
/// Householder's reduction to a tridiagonal matrix (Golub & Van Loan, §8.3; tred1 of EISPACK), then the QL
/// iteration without square roots (Pal, Walker and Kahan; Parlett, The Symmetric Eigenvalue Problem, §8.15;
/// dsterf of LAPACK), which works on squares: entries are 0 or of a size between 10⁻¹⁵⁰ and 10¹⁵⁰. The error
/// is a small multiple of n·2⁻⁵³ times the greatest eigenvalue: far below
/// [`SPECTRUM_FLOOR`](super::SPECTRUM_FLOOR), under which the signature tells none apart. Costs about 8/3·n³
/// operations.
///
/// # Errors
/// [`LengthMismatch`].
///
/// # Exactness
/// Only +, −, ×, ÷ and √ of f64; sums run in eight lanes, lane `k` over the terms `k`, `k + 8`, …, which are
/// then added in pairs, so that the bits are the same on every IEEE machine.
pub fn symmetric_eigenvalues(matrix: &mut [f64], values: &mut [f64]) -> Result<(), LengthMismatch> {
    let n = values.len();
    check("matrix", n * n, matrix.len())?;
    reduce(matrix, values);
    for (i, value) in values.iter_mut().enumerate() {
        *value = matrix[i * n + i];
    }
    // The matrix is done with: its first row takes the squares of the subdiagonal, entry i being that of rows
    // i and i + 1.
    for i in 1..n {
        let below = matrix[i * n + i - 1];
        matrix[i - 1] = below * below;
    }
    iterate(values, matrix);
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(())
}

/// Σ a·b, in lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += a * b;
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// Reduces to tridiagonal form: diagonal and subdiagonal then stand in their places. `scratch` has `n`
/// values.
fn reduce(matrix: &mut [f64], scratch: &mut [f64]) {
    let n = scratch.len();
    for i in (2..n).rev() {
        let (above, row) = matrix.split_at_mut(i * n);
        let u = &mut row[..i];
        // Nothing to reduce, or so little that its square is no normal number.
        if dot(&u[..i - 1], &u[..i - 1]) < f64::MIN_POSITIVE {
            continue;
        }
        let length = dot(u, u).sqrt();
        let last = u[i - 1];
        let reflected = if last > 0.0 { -length } else { length };
        u[i - 1] = last - reflected;
        // |u|² / 2
        let half = length * length - last * reflected;
        let p = &mut scratch[..i];
        for (p, row) in p.iter_mut().zip(above.chunks_exact(n)) {
            *p = dot(&row[..i], u) / half;
        }
        let share = dot(p, u) / (half + half);
        for (p, &u) in p.iter_mut().zip(u.iter()) {
            *p -= share * u;
        }
        for ((row, &own_u), &own_p) in above.chunks_exact_mut(n).zip(u.iter()).zip(p.iter()) {
            for ((value, &u), &p) in row[..i].iter_mut().zip(u.iter()).zip(p.iter()) {
                *value -= own_u * p + own_p * u;
            }
        }
        u[i - 1] = reflected;
    }
}

/// QL on a tridiagonal matrix: eigenvalues take the place of the diagonal `d`; `squares` of the subdiagonal
/// are overwritten.
fn iterate(d: &mut [f64], squares: &mut [f64]) {
    let n = d.len();
    // Less than this the reduction has changed the matrix by, too.
    let greatest = d.iter().fold(0.0, |greatest: f64, value| greatest.max(value.abs()));
    let negligible = (f64::EPSILON * greatest) * (f64::EPSILON * greatest);
    for l in 0..n {
        for _ in 0..STEPS {
            let m = (l..n - 1).find(|&m| squares[m] <= negligible).unwrap_or(n - 1);
            if m == l {
                break;
            }
            step(d, squares, l, m);
        }
    }
}

/// One shifted step on rows `l..=m`, l < m, whose squares are all above 0.
fn step(d: &mut [f64], squares: &mut [f64], l: usize, m: usize) {
    let root = squares[l].sqrt();
    let slope = (d[l + 1] - d[l]) / (2.0 * root);
    let length = (slope * slope + 1.0).sqrt();
    let shift = d[l] - root / (slope + if slope < 0.0 { -length } else { length });
    let (mut cosine, mut sine) = (1.0, 0.0);
    let mut gamma = d[m] - shift;
    let mut p = gamma * gamma;
    for i in (l..m).rev() {
        let square = squares[i];
        let r = p + square;
        if i + 1 < m {
            squares[i + 1] = sine * r;
        }
        let (last_cosine, last_gamma) = (cosine, gamma);
        (cosine, sine) = (p / r, square / r);
        gamma = cosine * (d[i] - shift) - sine * last_gamma;
        d[i + 1] = last_gamma + (d[i] - gamma);
        p = if cosine == 0.0 { last_cosine * square } else { gamma * gamma / cosine };
    }
    squares[l] = sine * p;
    d[l] = shift + gamma;
}
