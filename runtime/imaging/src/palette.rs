//! Colours: one per class, told apart also by colour-blind readers, and a scale for confidence.

#[cfg(test)]
mod tests;

/// Red, green, blue; sRGB.
pub type Rgb = [u8; 3];

/// Okabe and Ito, "Color Universal Design" (2008), ordered so that the first ones stand out on gray images.
const CLASSES: [Rgb; 7] = [
    [86, 180, 233],
    [230, 159, 0],
    [0, 158, 115],
    [240, 228, 66],
    [213, 94, 0],
    [204, 121, 167],
    [0, 114, 178],
];

/// Anchors of matplotlib's "magma" (CC0, van der Walt and Smith), evenly spaced; lightness rises steadily.
const MAGMA: [Rgb; 9] = [
    [0, 0, 4],
    [28, 16, 68],
    [79, 18, 123],
    [129, 37, 129],
    [181, 54, 122],
    [229, 80, 100],
    [251, 135, 97],
    [254, 194, 135],
    [252, 253, 191],
];

/// One colour for each of `classes` classes (at most 256): black for class 0, the background, then seven
/// well-separated ones, repeated in darker shades.
#[must_use]
pub fn class_colours(classes: usize) -> Vec<Rgb> {
    (0..classes.min(256))
        .map(|class| match class.checked_sub(1) {
            None => [0, 0, 0],
            Some(index) => {
                let shade = 37 - index / CLASSES.len();
                CLASSES[index % CLASSES.len()].map(|value| (usize::from(value) * shade / 37) as u8)
            }
        })
        .collect()
}

/// 256 colours from dark (0) to light (255), evenly readable: magma, linearly interpolated in integers.
#[must_use]
pub fn heat_scale() -> [Rgb; 256] {
    let mut scale = [[0; 3]; 256];
    for (level, colour) in scale.iter_mut().enumerate() {
        let position = level * (MAGMA.len() - 1);
        let (segment, offset) = (position / 255, position % 255);
        let (low, high) = (MAGMA[segment], MAGMA[(segment + 1).min(MAGMA.len() - 1)]);
        for ((value, low), high) in colour.iter_mut().zip(low).zip(high) {
            *value = ((usize::from(low) * (255 - offset) + usize::from(high) * offset + 127) / 255) as u8;
        }
    }
    scale
}
