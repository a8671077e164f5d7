//! Boundary band of a label map: where annotators and networks disagree, and where calibration matters
//! most.

/// Chebyshev radius in pixels of the band that boundary-band ECE is measured on.
pub const BOUNDARY_RADIUS: usize = 2;

/// Flags the pixels within `radius` pixels (Chebyshev) of a pixel with another label.
///
/// A pixel is in the band when the (2·radius+1)² window around it, cut off at the frame's edge, holds more
/// than one label; the band is thus `radius` pixels thick on either side of each label change, and the
/// frame's edge is no boundary. Equal to comparing a grey dilation with a grey erosion (Soille,
/// *Morphological Image Analysis*, 2003, §3.9, the morphological gradient), but for any pair of labels.
///
/// `labels` is row-major with rows of `width`; trailing pixels of an incomplete row and a `width` of 0 give
/// no flag. Returns one flag per label.
pub fn boundary_band(labels: &[u8], width: usize, radius: usize) -> Vec<bool> {
    let mut flags = vec![false; labels.len()];
    if width == 0 {
        return flags;
    }
    let (mut low, mut high) = (labels.to_vec(), labels.to_vec());
    for ((row, low), high) in
        labels.chunks_exact(width).zip(low.chunks_exact_mut(width)).zip(high.chunks_exact_mut(width))
    {
        for x in 0..width {
            let window = row.get(x.saturating_sub(radius)..(x + radius + 1).min(width)).unwrap_or_default();
            low[x] = window.iter().copied().min().unwrap_or(0);
            high[x] = window.iter().copied().max().unwrap_or(0);
        }
    }
    let height = labels.len() / width;
    for y in 0..height {
        let rows = y.saturating_sub(radius)..(y + radius + 1).min(height);
        for x in 0..width {
            let smallest = rows.clone().map(|row| low[row * width + x]).min();
            let largest = rows.clone().map(|row| high[row * width + x]).max();
            flags[y * width + x] = smallest != largest;
        }
    }
    flags
}
