//! From frame samples to input codes: channels, geometry, normalisation, quantization.

use crate::error::{Error, ErrorKind};
use crate::frame::{FrameView, Samples};
use crate::geometry::{Resampler, mirror};
use candor_core::arithmetic::{Moments, Multiplier, Normalization, Range, Scale, requantize_affine};
use candor_core::package::{ChannelOrder, Geometry, Normalize, Preprocess};
use candor_core::tensor::Layout;

/// Frame samples as planes at model scale, with everything needed to make codes; buffers are reused across
/// frames.
#[derive(Debug)]
pub struct Preprocessor {
    settings: Preprocess,
    model: [usize; 3],
    scale: Scale,
    zero_point: u8,
    planes: Vec<u16>,
    scratch: Vec<u16>,
    resized: Vec<u16>,
    resamplers: [Resampler; 2],
    extent: [usize; 2],
    full_scale: u16,
    slopes: [Multiplier; 3],
    offsets: [Multiplier; 3],
}

impl Preprocessor {
    /// For input tensor `layout` with its scale and zero point.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when the channel order does not match the tensor's channels.
    pub fn new(settings: Preprocess, layout: Layout, scale: Scale, zero_point: u8) -> Result<Self, Error> {
        let wanted = if settings.order == ChannelOrder::Gray { 1 } else { 3 };
        if layout.channels != wanted {
            let what = format!(
                "section 'preprocess' makes {wanted} channels but the model takes {}; only .npy \
                 input is possible",
                layout.channels
            );
            return Err(Error::new(ErrorKind::Input, what));
        }
        Ok(Self {
            settings,
            model: [layout.height, layout.width, layout.channels],
            scale,
            zero_point,
            planes: Vec::new(),
            scratch: Vec::new(),
            resized: Vec::new(),
            resamplers: Default::default(),
            extent: [0; 2],
            full_scale: 255,
            slopes: [Multiplier::new(0.0); 3],
            offsets: [Multiplier::new(0.0); 3],
        })
    }

    /// Bytes held for frames of `height × width`.
    pub fn bytes(&self, height: usize, width: usize) -> usize {
        let [model_height, model_width, channels] = self.model;
        let planes = height * width * channels;
        match self.resizes([height, width]) {
            false => 2 * planes,
            true => 2 * (planes + height * model_width + model_height * model_width * channels),
        }
    }

    /// Takes a frame: planes, geometry, normalisation constants.
    pub fn take(&mut self, frame: &FrameView<'_>) {
        let pixels = frame.width * frame.height;
        self.planes.resize(pixels * self.model[2], 0);
        self.separate(frame, 0, pixels);
        let [height, width, channels] = self.model;
        if self.resizes([frame.height, frame.width]) {
            let extent = [frame.height, frame.width];
            if self.extent != extent || self.resized.is_empty() {
                self.extent = extent;
                self.resamplers = [Resampler::new(frame.height, height), Resampler::new(frame.width, width)];
                self.scratch.resize(frame.height * width, 0);
                self.resized.resize(height * width * channels, 0);
            }
            let source = self.planes.chunks_exact(frame.height * frame.width);
            for (plane, target) in source.zip(self.resized.chunks_exact_mut(height * width)) {
                self.resamplers[1].columns(plane, &mut self.scratch);
                self.resamplers[0].rows(&self.scratch, width, target);
            }
        }
        self.extent = [frame.height, frame.width];
        self.normalize(frame.full_scale);
    }

    /// Makes room for a frame of `extent` whose rows will come one after the other; `rows` are the first.
    /// Not for settings that standardise each frame.
    pub fn begin_rows(&mut self, rows: &FrameView<'_>, extent: [usize; 2]) {
        self.planes.resize(extent[0] * extent[1] * self.model[2], 0);
        self.extent = extent;
        self.normalize(rows.full_scale);
    }

    /// Takes the rows of the frame from `first` on.
    pub fn take_rows(&mut self, first: usize, rows: &FrameView<'_>) {
        self.separate(rows, first * rows.width, self.extent[0] * self.extent[1]);
    }

    /// Splits samples into one plane per model channel: those of `frame` go to `start` of planes of `pixels`.
    fn separate(&mut self, frame: &FrameView<'_>, start: usize, pixels: usize) {
        let (order, count) = (self.settings.order, frame.width * frame.height);
        let planes = self.planes.chunks_exact_mut(pixels).map(|plane| &mut plane[start..start + count]);
        match frame.samples {
            Samples::U8(samples) => separate_samples(order, frame.channels, samples, planes),
            Samples::U16(samples) => separate_samples(order, frame.channels, samples, planes),
        }
    }

    /// Whether frames of `extent` are brought to the model's extent first.
    fn resizes(&self, extent: [usize; 2]) -> bool {
        self.settings.geometry == Geometry::Resize && extent != self.model[..2]
    }

    fn source(&self) -> &[u16] {
        if self.resizes(self.extent) { &self.resized } else { &self.planes }
    }

    /// The frame's own samples, one slice per model channel, before resizing and normalisation.
    pub fn channels(&self) -> impl Iterator<Item = &[u16]> {
        self.planes.chunks_exact((self.planes.len() / self.model[2]).max(1))
    }

    /// Greatest value a sample of the last frame can take.
    pub const fn full_scale(&self) -> u16 {
        self.full_scale
    }

    /// Slope and offset from samples to input steps.
    fn normalize(&mut self, full_scale: u16) {
        self.full_scale = full_scale;
        let steps = Multiplier::new(1.0 / self.scale.get());
        let full = f32::from(full_scale);
        match self.settings.normalize {
            Normalize::Standardize { epsilon } => {
                let mut moments = Moments::default();
                for &sample in self.source() {
                    moments.count += 1;
                    moments.sum += u64::from(sample);
                    moments.squares += u64::from(sample) * u64::from(sample);
                }
                let floor = Multiplier::new(epsilon.get() * epsilon.get());
                let constants = Normalization { epsilon: floor, output_steps: steps };
                let (slope, offset) = moments.affine(constants, Multiplier::new(1.0), Multiplier::new(0.0));
                self.slopes = [slope; 3];
                self.offsets = [offset; 3];
            }
            Normalize::Affine { slope, offset } => {
                self.slopes = slope.map(|s| Multiplier::new(s.get() / full * steps.get()));
                self.offsets = offset.map(|o| Multiplier::new(o.get() * steps.get()));
            }
            Normalize::Window { low, high } => {
                let slope = steps.get() / (high - low) as f32;
                self.slopes = [Multiplier::new(slope); 3];
                self.offsets = [Multiplier::new(-(low as f32) * slope); 3];
            }
        }
    }

    /// The input codes of samples of `channel`, in order.
    ///
    /// # Exactness
    /// One integer conversion, one multiply, one addition in f32, half to even, saturating.
    fn codes<'s>(
        &self,
        channel: usize,
        samples: impl Iterator<Item = &'s u16>,
        codes: impl Iterator<Item = &'s mut u8>,
    ) {
        let [low, high] = match self.settings.normalize {
            Normalize::Window { low, high } => [low as i32, high as i32],
            _ => [0, i32::from(u16::MAX)],
        };
        let range = Range { zero_point: i32::from(self.zero_point), low: 0, high: 255 };
        let (slope, offset) = (self.slopes[channel], self.offsets[channel]);
        for (code, &sample) in codes.zip(samples) {
            let value = i32::from(sample).clamp(low, high);
            *code = requantize_affine(value, slope, offset, range) as u8;
        }
    }

    /// Codes of row `y` of `channel` in the model window whose top left is at frame position `origin` (row,
    /// column); `codes` holds the model's columns.
    pub fn row_codes(&self, origin: [usize; 2], y: usize, channel: usize, codes: &mut [u8]) {
        let [height, width, _] = self.model;
        let tiled = self.settings.geometry != Geometry::Resize;
        let [rows, columns] = if tiled { self.extent } else { [height, width] };
        let plane = &self.source()[channel * rows * columns..(channel + 1) * rows * columns];
        let source = &plane[mirror(origin[0] + y, rows) * columns..][..columns];
        // The frame's own columns, then those beyond its right edge.
        let own = columns.saturating_sub(origin[1]).min(codes.len());
        let beyond = (own..codes.len()).map(|x| &source[mirror(origin[1] + x, columns)]);
        let (codes, mirrored) = codes.split_at_mut(own);
        self.codes(channel, source[columns.min(origin[1])..].iter(), codes.iter_mut());
        self.codes(channel, beyond, mirrored.iter_mut());
    }

    /// The real network inputs of the same window, as floats: what the float model would be given.
    pub fn reals(&self, origin: [usize; 2]) -> Vec<f32> {
        let [height, width, channels] = self.model;
        let tiled = self.settings.geometry != Geometry::Resize;
        let [rows, columns] = if tiled { self.extent } else { [height, width] };
        let mut reals = Vec::with_capacity(height * width * channels);
        for c in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let at = mirror(origin[0] + y, rows) * columns + mirror(origin[1] + x, columns);
                    let sample = self.source()[c * rows * columns + at];
                    let value = match self.settings.normalize {
                        Normalize::Window { low, high } => u32::from(sample).clamp(low, high) as f32,
                        _ => f32::from(sample),
                    };
                    let steps = value * self.slopes[c].get() + self.offsets[c].get();
                    reals.push(steps * self.scale.get());
                }
            }
        }
        reals
    }
}

/// Splits interleaved samples of `channels` channels into the planes of `order`, as long as these.
fn separate_samples<'p, S: Copy + Into<u16>>(
    order: ChannelOrder,
    channels: usize,
    samples: &[S],
    planes: impl Iterator<Item = &'p mut [u16]>,
) {
    for (channel, plane) in planes.enumerate() {
        let pixels = samples.as_chunks::<3>().0;
        match (channels, order) {
            (1, _) => plane.iter_mut().zip(samples).for_each(|(to, &sample)| *to = sample.into()),
            (_, ChannelOrder::Gray) => {
                plane.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = luma(pixel.map(S::into)));
            }
            (_, ChannelOrder::Rgb) => {
                plane.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = pixel[channel].into());
            }
            (_, ChannelOrder::Bgr) => {
                plane.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = pixel[2 - channel].into());
            }
        }
    }
}

/// Rec. 601 luma in integers, rounded: (77·R + 150·G + 29·B + 128) / 256.
fn luma([red, green, blue]: [u16; 3]) -> u16 {
    ((77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue) + 128) >> 8) as u16
}

#[cfg(test)]
mod tests;
