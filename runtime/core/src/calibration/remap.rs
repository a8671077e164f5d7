//! A second map of confidence, over the package's own: for recalibration by labels and for caps.

/// Knots of a map: at confidence 0, 256, 512, … 65536 (the last stands for certainty).
pub const KNOTS: usize = 257;

/// Replaces every confidence (in 1/65535) by the map of its pixel's class, linear between knots; classes
/// past the last map use the last. Slices of another length are changed as far as both go.
///
/// # Exactness
/// `knot[k] + ((knot[k + 1] − knot[k])·rest + 128 >> 8)` with `k` the high byte and `rest` the low byte.
pub fn remap(maps: &[[u16; KNOTS]], mask: &[u8], confidence: &mut [u16]) {
    let Some(last) = maps.len().checked_sub(1) else { return };
    for (&label, value) in mask.iter().zip(confidence) {
        *value = mapped(&maps[usize::from(label).min(last)], *value);
    }
}

/// One confidence through one map.
pub fn mapped(map: &[u16; KNOTS], confidence: u16) -> u16 {
    let [rest, knot] = confidence.to_le_bytes();
    let (from, to) = (i32::from(map[usize::from(knot)]), i32::from(map[usize::from(knot) + 1]));
    (from + (((to - from) * i32::from(rest) + 128) >> 8)) as u16
}

/// The map that changes nothing, but never states more than `cap`.
pub fn capped_identity(cap: u16) -> [u16; KNOTS] {
    let mut map = [0; KNOTS];
    for (knot, value) in map.iter_mut().enumerate() {
        *value = u16::try_from(knot * 256).unwrap_or(u16::MAX).min(cap);
    }
    map
}
