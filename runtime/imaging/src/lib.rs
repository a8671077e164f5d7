//! Frames in, findings out: readers, writers, overlays, reports and a synthetic source of frames.

pub mod frame;
pub mod labels;
pub mod overlay;
pub mod palette;
pub mod phantom;
pub mod read;
pub mod report;
#[cfg(test)]
mod testing;
pub mod write;
