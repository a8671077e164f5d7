//! One channel of the model's input as a frame holds it, read without a copy.

use super::{FrameView, Samples};
use candor_core::package::ChannelOrder;
use std::ops::Range;

/// Samples of one channel in row-major order, borrowed from whoever has them.
#[derive(Debug, Clone, Copy)]
pub enum Plane<'f> {
    /// Eight bits, one channel.
    Narrow(&'f [u8]),
    /// Sixteen bits, one channel.
    Wide(&'f [u16]),
    /// Eight bits, red, green and blue interleaved.
    NarrowPixels(&'f [[u8; 3]], Pick),
    /// Sixteen bits, red, green and blue interleaved.
    WidePixels(&'f [[u16; 3]], Pick),
}

/// What becomes of a colour pixel.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    /// One of red, green, blue.
    Channel(usize),
    /// Rec. 601 luma in integers, rounded: (77·R + 150·G + 29·B + 128) / 256.
    Luma,
}

impl Pick {
    fn of([red, green, blue]: [u16; 3], pick: Self) -> u16 {
        match pick {
            Self::Channel(0) => red,
            Self::Channel(1) => green,
            Self::Channel(_) => blue,
            Self::Luma => {
                ((77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue) + 128) >> 8) as u16
            }
        }
    }
}

impl<'f> Plane<'f> {
    /// Channel `channel` of a model that takes `order`, from a frame of one or three channels.
    pub fn of(frame: &FrameView<'f>, order: ChannelOrder, channel: usize) -> Self {
        let pick = match order {
            ChannelOrder::Gray => Pick::Luma,
            ChannelOrder::Rgb => Pick::Channel(channel),
            ChannelOrder::Bgr => Pick::Channel(2 - channel),
        };
        match (frame.channels, frame.samples) {
            (1, Samples::U8(samples)) => Self::Narrow(samples),
            (1, Samples::U16(samples)) => Self::Wide(samples),
            (_, Samples::U8(samples)) => Self::NarrowPixels(samples.as_chunks().0, pick),
            (_, Samples::U16(samples)) => Self::WidePixels(samples.as_chunks().0, pick),
        }
    }

    /// The samples of `range`.
    pub fn range(self, range: Range<usize>) -> Self {
        match self {
            Self::Narrow(samples) => Self::Narrow(&samples[range]),
            Self::Wide(samples) => Self::Wide(&samples[range]),
            Self::NarrowPixels(pixels, pick) => Self::NarrowPixels(&pixels[range], pick),
            Self::WidePixels(pixels, pick) => Self::WidePixels(&pixels[range], pick),
        }
    }

    /// Sample `index`.
    pub fn at(self, index: usize) -> u16 {
        match self {
            Self::Narrow(samples) => samples[index].into(),
            Self::Wide(samples) => samples[index],
            Self::NarrowPixels(pixels, pick) => Pick::of(pixels[index].map(u16::from), pick),
            Self::WidePixels(pixels, pick) => Pick::of(pixels[index], pick),
        }
    }

    /// Calls `visit` with every sample in order.
    pub fn for_each(self, visit: impl FnMut(u16)) {
        match self {
            Self::Narrow(samples) => samples.iter().map(|&sample| sample.into()).for_each(visit),
            Self::Wide(samples) => samples.iter().copied().for_each(visit),
            Self::NarrowPixels(pixels, pick) => {
                pixels.iter().map(|pixel| Pick::of(pixel.map(u16::from), pick)).for_each(visit);
            }
            Self::WidePixels(pixels, pick) => {
                pixels.iter().map(|&pixel| Pick::of(pixel, pick)).for_each(visit);
            }
        }
    }

    /// Writes what `make` makes of every sample, in order, to `targets`, which is as long.
    pub fn write<T>(self, targets: &mut [T], make: impl Fn(u16) -> T) {
        let targets = targets.iter_mut();
        match self {
            Self::Narrow(samples) => {
                targets.zip(samples).for_each(|(to, &sample)| *to = make(sample.into()));
            }
            Self::Wide(samples) => targets.zip(samples).for_each(|(to, &sample)| *to = make(sample)),
            Self::NarrowPixels(pixels, pick) => {
                targets.zip(pixels).for_each(|(to, pixel)| *to = make(Pick::of(pixel.map(u16::from), pick)))
            }
            Self::WidePixels(pixels, pick) => {
                targets.zip(pixels).for_each(|(to, &pixel)| *to = make(Pick::of(pixel, pick)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
