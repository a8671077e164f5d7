//! How alike two representations of the same images are.

/// Linear centred kernel alignment (Kornblith et al. 2019): ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of column-centred
/// features, Frobenius norms, 0..=1; unchanged by rotations and by one scale. Rows are images; `None`
/// without rows, for lists of different length, and where one representation does not vary.
#[must_use]
pub fn linear_cka(first: &[Vec<f32>], second: &[Vec<f32>]) -> Option<f64> {
    if first.is_empty() || first.len() != second.len() {
        return None;
    }
    let (x, y) = (centred(first), centred(second));
    let scale = (cross(&x, &x) * cross(&y, &y)).sqrt();
    (scale > 0.0).then(|| cross(&x, &y) / scale)
}

/// Columns less their means.
fn centred(rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let width = rows.first().map_or(0, Vec::len);
    let column = |at: usize| -> Vec<f64> {
        let own: Vec<f64> = rows.iter().map(|row| f64::from(row[at])).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        own.iter().map(|value| value - mean).collect()
    };
    (0..width).map(column).collect()
}

/// ‖YᵀX‖² of lists of columns.
fn cross(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    x.iter().flat_map(|a| y.iter().map(move |b| product(a, b).powi(2))).sum()
}
