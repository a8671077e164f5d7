//! The second pass of a sigmoid whose table depends on how near the mask changes.

use super::BOUNDARY_RADIUS;
use super::rows::{Table, of_label};

/// Pixels handled together by loops of constant length.
const SPAN: usize = 64;
/// Pixels that decide about a span.
const REACH: usize = SPAN + 2 * BOUNDARY_RADIUS;

/// Turns the logit indices in `confidence`, which begins with row `first`, into the probabilities of the
/// labels in `mask`, the whole map's; `tables` serve pixels far from and near to a change of label.
pub(super) fn finish(tables: [&Table; 2], width: usize, first: usize, mask: &[u8], confidence: &mut [u16]) {
    let height = mask.len() / width;
    for (y, values) in (first..height).zip(confidence.chunks_exact_mut(width)) {
        let first = y.saturating_sub(BOUNDARY_RADIUS);
        let end = (y + BOUNDARY_RADIUS + 1).min(height);
        let window = &mask[first * width..end * width];
        let labels = &mask[y * width..][..width];
        for (index, values) in values.chunks_mut(SPAN).enumerate() {
            let near = near_change(window, width, index * SPAN);
            let labels = &labels[index * SPAN..];
            for ((value, &label), &near) in values.iter_mut().zip(labels).zip(&near) {
                *value = of_label(tables[usize::from(near)], *value, label);
            }
        }
    }
}

/// For the pixels from column `start` on, whether labels differ within the rows of `window` and
/// [`BOUNDARY_RADIUS`] columns.
fn near_change(window: &[u8], width: usize, start: usize) -> [bool; SPAN] {
    // Least and greatest label of each column; columns outside the image change neither.
    let (mut least, mut greatest) = ([u8::MAX; REACH], [0; REACH]);
    let first = start.saturating_sub(BOUNDARY_RADIUS);
    let offset = BOUNDARY_RADIUS + first - start;
    let end = (start + SPAN + BOUNDARY_RADIUS).min(width);
    for row in window.chunks_exact(width) {
        for (at, &label) in row[first..end].iter().enumerate() {
            least[offset + at] = least[offset + at].min(label);
            greatest[offset + at] = greatest[offset + at].max(label);
        }
    }
    core::array::from_fn(|x| {
        let (mut low, mut high) = (u8::MAX, 0);
        for at in x..x + 2 * BOUNDARY_RADIUS + 1 {
            (low, high) = (low.min(least[at]), high.max(greatest[at]));
        }
        low != high
    })
}
