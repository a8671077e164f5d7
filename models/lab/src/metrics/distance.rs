//! Exact Euclidean distances between masks, in pixels: the squared distance transform and HD95.

/// Squared Euclidean distance, in pixels, of every pixel to the nearest set pixel of `mask`; exact
/// integers.
///
/// Meijster, Roerdink & Hesselink, *A general algorithm for computing distance transforms in linear time*,
/// 2000: one pass over columns, one over rows, integer arithmetic only. `mask` is row-major with rows of
/// `width`. `None` when no pixel is set or `mask` is not whole rows of at most 65535 by 65535 pixels.
pub fn squared_distances(mask: &[bool], width: usize) -> Option<Vec<u64>> {
    let height = mask.len().checked_div(width)?;
    let within = height * width == mask.len() && height <= super::MAX_SIDE && width <= super::MAX_SIDE;
    if !within || !mask.contains(&true) {
        return None;
    }
    // Longer than any distance in the frame, yet its square stays far from the end of i64.
    let far = i64::try_from(height + width).ok()?;
    let mut column = vec![far; mask.len()];
    for index in 0..mask.len() {
        let above = if index >= width { column[index - width] } else { far };
        column[index] = if mask[index] { 0 } else { (above + 1).min(far) };
    }
    for index in (0..mask.len().saturating_sub(width)).rev() {
        column[index] = column[index].min(column[index + width] + 1);
    }
    let mut distances = vec![0; mask.len()];
    let mut hull = Vec::with_capacity(width);
    for (row, out) in column.chunks_exact(width).zip(distances.chunks_exact_mut(width)) {
        lower_envelope(row, out, &mut hull);
    }
    Some(distances)
}

/// For every column `x`, the least `(x − i)² + row[i]²`; `hull` is scratch of (site, first column it
/// serves).
fn lower_envelope(row: &[i64], out: &mut [u64], hull: &mut Vec<(i64, i64)>) {
    let width = row.len() as i64;
    let height_at = |site: i64| row[site as usize];
    let cost = |x: i64, site: i64| (x - site) * (x - site) + height_at(site) * height_at(site);
    hull.clear();
    for site in 0..width {
        while hull.last().is_some_and(|&(top, from)| cost(from, top) > cost(from, site)) {
            hull.pop();
        }
        let from = match hull.last() {
            None => 0,
            Some(&(top, _)) => {
                let lift = site * site - top * top + height_at(site).pow(2) - height_at(top).pow(2);
                1 + lift.div_euclid(2 * (site - top))
            }
        };
        if from < width {
            hull.push((site, from));
        }
    }
    let mut x = width - 1;
    while let Some((site, from)) = hull.pop() {
        while x >= from {
            out[x as usize] = cost(x, site).unsigned_abs();
            x -= 1;
        }
    }
}

/// Surface of a mask: set pixels with a 4-neighbour that is not set; beyond the frame's edge nothing is
/// set.
fn surface(mask: &[bool], width: usize) -> Vec<bool> {
    let set = |index: Option<usize>| index.and_then(|index| mask.get(index)).copied().unwrap_or(false);
    let inner = |index: usize| {
        let x = index % width;
        x > 0
            && x + 1 < width
            && set(Some(index - 1))
            && set(Some(index + 1))
            && set(index.checked_sub(width))
            && set(index.checked_add(width))
    };
    mask.iter().enumerate().map(|(index, &inside)| inside && !inner(index)).collect()
}

/// 95th percentile of the distances from one surface to another, linear between order statistics.
fn directed_95(from: &[bool], to: &[u64]) -> f64 {
    let mut distances: Vec<u64> =
        from.iter().zip(to).filter(|(on, _)| **on).map(|(_, &squared)| squared).collect();
    distances.sort_unstable();
    let last = distances.len().saturating_sub(1);
    let position = 0.95 * last as f64;
    let lower = position.floor();
    let at = |rank: usize| (distances.get(rank.min(last)).copied().unwrap_or(0) as f64).sqrt();
    let (below, above) = (at(lower as usize), at(lower as usize + 1));
    below + (above - below) * (position - lower)
}

/// HD95 in pixels: the larger of the two directed 95th percentiles of surface-to-surface distances.
///
/// Surface pixels are set pixels with a 4-neighbour outside the mask (beyond the frame's edge counts as
/// outside); percentiles interpolate linearly between order statistics. This is the definition of MONAI's
/// `compute_hausdorff_distance(percentile=95)` and of *Metrics Reloaded* (Maier-Hein et al., 2024); MedPy's
/// `hd95` instead takes one percentile of both directions pooled, which is never larger.
///
/// Conventions: both masks empty, nothing to measure: `None`. Exactly one empty: the frame's diagonal in
/// pixels, √(height² + width²), so that a missed or invented object costs more than a misplaced one.
/// `None` also when the masks differ in length or are not whole rows of at most 65535 by 65535 pixels.
pub fn hausdorff_95(predicted: &[bool], truth: &[bool], width: usize) -> Option<f64> {
    let height = truth.len().checked_div(width)?;
    if predicted.len() != truth.len() || height * width != truth.len() {
        return None;
    }
    match (predicted.contains(&true), truth.contains(&true)) {
        (false, false) => None,
        (true, true) => {
            let (predicted, truth) = (surface(predicted, width), surface(truth, width));
            let to_truth = squared_distances(&truth, width)?;
            let to_predicted = squared_distances(&predicted, width)?;
            Some(directed_95(&predicted, &to_truth).max(directed_95(&truth, &to_predicted)))
        }
        _ => Some(((height * height + width * width) as f64).sqrt()),
    }
}
