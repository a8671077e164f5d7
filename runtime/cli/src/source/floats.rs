//! Float samples of 0 to 1 as integers, after a look for those that are no number.

use candor::stream::event::SourceFault;
use candor::stream::slot::Slot;

/// Puts little-endian f32 samples into `slot` as 16-bit ones, 1 as full scale; values beyond are clipped.
///
/// # Errors
/// [`SourceFault::NonFinite`] with the first sample that is NaN or infinite: as an integer it would pass for
/// black or white.
pub fn fill(slot: &mut Slot, [width, height]: [usize; 2], bytes: &[u8]) -> Result<(), SourceFault> {
    slot.wide.clear();
    for (index, sample) in bytes.as_chunks::<4>().0.iter().enumerate() {
        let value = f32::from_le_bytes(*sample);
        if !value.is_finite() {
            return Err(SourceFault::NonFinite { index: index as u64 });
        }
        slot.wide.push((value.clamp(0.0, 1.0) * f32::from(u16::MAX)).round_ties_even() as u16);
    }
    (slot.width, slot.height, slot.channels, slot.full_scale) = (width, height, 1, u16::MAX);
    Ok(())
}
