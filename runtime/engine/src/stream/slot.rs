//! A slot of the ring: room for one frame, used again and again.

use crate::frame::{FrameView, Samples};

/// Room for the samples of one frame; grows with the largest frame it held and never shrinks.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Greatest value a sample can take; above 255 the samples are [`Self::wide`].
    pub full_scale: u16,
    /// Samples of at most 8 bits, row-major, channels interleaved.
    pub narrow: Vec<u8>,
    /// Samples of more than 8 bits, likewise.
    pub wide: Vec<u16>,
    /// The frame's number, given by the ring.
    pub sequence: u64,
    /// When it had arrived whole, on the stream's monotonic clock.
    pub arrival_ns: u64,
}

impl Slot {
    /// The frame, as a session takes it.
    pub fn view(&self) -> FrameView<'_> {
        let samples =
            if self.full_scale > 255 { Samples::U16(&self.wide) } else { Samples::U8(&self.narrow) };
        FrameView {
            width: self.width,
            height: self.height,
            channels: self.channels,
            full_scale: self.full_scale,
            samples,
        }
    }

    /// Copies a frame in.
    pub fn fill(&mut self, frame: &FrameView<'_>) {
        (self.width, self.height, self.channels) = (frame.width, frame.height, frame.channels);
        self.full_scale = frame.full_scale;
        match frame.samples {
            Samples::U8(samples) => {
                self.narrow.clear();
                self.narrow.extend_from_slice(samples);
            }
            Samples::U16(samples) => {
                self.full_scale = self.full_scale.max(256);
                self.wide.clear();
                self.wide.extend_from_slice(samples);
            }
        }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.narrow.capacity() + 2 * self.wide.capacity()
    }
}
