//! From frame samples to input codes: channels, geometry, normalisation, quantization.

use crate::error::{Error, ErrorKind};
use crate::frame::FrameView;
use crate::frame::plane::Plane;
use crate::geometry::{Resampler, mirror};
use candor_core::arithmetic::{Moments, Multiplier, Normalization, Range, Scale, requantize_affine};
use candor_core::package::{ChannelOrder, Geometry, Normalize, Preprocess};
use candor_core::tensor::Layout;

/// Everything needed to make codes of a frame's samples. These are read from the frame itself; what is held
/// is the resized frame, and rows that arrive before the rest. Buffers are reused across frames.
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
    /// Whether frames come by rows, so that rows have to be kept.
    by_rows: bool,
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
            by_rows: false,
            full_scale: 255,
            slopes: [Multiplier::new(0.0); 3],
            offsets: [Multiplier::new(0.0); 3],
        })
    }

    /// Bytes held for frames of `height × width`.
    pub fn bytes(&self, height: usize, width: usize) -> usize {
        let [model_height, model_width, channels] = self.model;
        let planes = height * width * channels;
        match (self.resizes([height, width]), self.by_rows) {
            (true, _) => 2 * (planes + height * model_width + model_height * model_width * channels),
            (false, true) => 2 * planes,
            (false, false) => 0,
        }
    }

    /// Takes a frame: geometry, normalisation constants. Unless it has to be resized it is not copied, and
    /// must be given again when codes are made of it.
    pub fn take(&mut self, frame: &FrameView<'_>) {
        let [height, width, channels] = self.model;
        let extent = [frame.height, frame.width];
        if self.resizes(extent) {
            let pixels = frame.width * frame.height;
            self.planes.resize(pixels * channels, 0);
            self.separate(frame, 0, pixels);
            if self.extent != extent || self.resized.is_empty() {
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
        self.extent = extent;
        self.normalize(frame.full_scale, Some(frame));
    }

    /// Says that frames will come by rows, so that [`bytes`](Self::bytes) counts what is kept of them;
    /// whether that is news.
    pub fn expect_rows(&mut self) -> bool {
        !std::mem::replace(&mut self.by_rows, true)
    }

    /// Makes room for a frame of `extent` whose rows will come one after the other; `rows` are the first.
    /// Not for settings that standardise each frame.
    pub fn begin_rows(&mut self, rows: &FrameView<'_>, extent: [usize; 2]) {
        self.planes.resize(extent[0] * extent[1] * self.model[2], 0);
        self.extent = extent;
        self.normalize(rows.full_scale, None);
    }

    /// Takes the rows of the frame from `first` on.
    pub fn take_rows(&mut self, first: usize, rows: &FrameView<'_>) {
        self.separate(rows, first * rows.width, self.extent[0] * self.extent[1]);
    }

    /// Splits samples into one plane per model channel: those of `frame` go to `start` of planes of `pixels`.
    fn separate(&mut self, frame: &FrameView<'_>, start: usize, pixels: usize) {
        let (order, count) = (self.settings.order, frame.width * frame.height);
        for (channel, plane) in self.planes.chunks_exact_mut(pixels).enumerate() {
            Plane::of(frame, order, channel).write(&mut plane[start..start + count], |sample| sample);
        }
    }

    /// Whether frames of `extent` are brought to the model's extent first.
    fn resizes(&self, extent: [usize; 2]) -> bool {
        self.settings.geometry == Geometry::Resize && extent != self.model[..2]
    }

    /// One channel at model scale: of `frame`, or of the rows that were taken where there is none.
    fn source<'s>(&'s self, frame: Option<&FrameView<'s>>, channel: usize) -> Plane<'s> {
        let resized = self.resizes(self.extent);
        let [rows, columns] = if resized { [self.model[0], self.model[1]] } else { self.extent };
        let range = channel * rows * columns..(channel + 1) * rows * columns;
        match frame {
            _ if resized => Plane::Wide(&self.resized[range]),
            Some(frame) => Plane::of(frame, self.settings.order, channel),
            None => Plane::Wide(&self.planes[range]),
        }
    }

    /// The frame's own samples, a plane for each model channel, before resizing and normalisation.
    pub fn channels<'f>(&self, frame: &FrameView<'f>) -> impl Iterator<Item = Plane<'f>> {
        let (order, channels) = (self.settings.order, self.model[2]);
        let frame = *frame;
        (0..channels).map(move |channel| Plane::of(&frame, order, channel))
    }

    /// Greatest value a sample of the last frame can take.
    pub const fn full_scale(&self) -> u16 {
        self.full_scale
    }

    /// Slope and offset from samples to input steps.
    fn normalize(&mut self, full_scale: u16, frame: Option<&FrameView<'_>>) {
        self.full_scale = full_scale;
        let steps = Multiplier::new(1.0 / self.scale.get());
        let full = f32::from(full_scale);
        match self.settings.normalize {
            Normalize::Standardize { epsilon } => {
                let mut moments = Moments::default();
                for channel in 0..self.model[2] {
                    self.source(frame, channel).for_each(|sample| {
                        moments.count += 1;
                        moments.sum += u64::from(sample);
                        moments.squares += u64::from(sample) * u64::from(sample);
                    });
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

    /// What makes the input code of a sample of `channel`.
    ///
    /// # Exactness
    /// One integer conversion, one multiply, one addition in f32, half to even, saturating.
    fn encoder(&self, channel: usize) -> impl Fn(u16) -> u8 {
        let [low, high] = match self.settings.normalize {
            Normalize::Window { low, high } => [low as i32, high as i32],
            _ => [0, i32::from(u16::MAX)],
        };
        let range = Range { zero_point: i32::from(self.zero_point), low: 0, high: 255 };
        let (slope, offset) = (self.slopes[channel], self.offsets[channel]);
        move |sample| requantize_affine(i32::from(sample).clamp(low, high), slope, offset, range) as u8
    }

    /// Codes of row `y` of `channel` in the model window whose top left is at frame position `origin` (row,
    /// column); `codes` holds the model's columns. `frame` is the frame that was taken; without one the
    /// rows are those that were taken.
    pub fn row_codes(
        &self,
        frame: Option<&FrameView<'_>>,
        origin: [usize; 2],
        y: usize,
        channel: usize,
        codes: &mut [u8],
    ) {
        let [height, width, _] = self.model;
        let tiled = self.settings.geometry != Geometry::Resize;
        let [rows, columns] = if tiled { self.extent } else { [height, width] };
        let start = mirror(origin[0] + y, rows) * columns;
        let source = self.source(frame, channel).range(start..start + columns);
        // The frame's own columns, then those beyond its right edge.
        let first = columns.min(origin[1]);
        let own = (columns - first).min(codes.len());
        let encode = self.encoder(channel);
        let (codes, mirrored) = codes.split_at_mut(own);
        source.range(first..first + own).write(codes, &encode);
        for (x, code) in mirrored.iter_mut().enumerate() {
            *code = encode(source.at(mirror(origin[1] + own + x, columns)));
        }
    }

    /// The real network inputs of the same window of `frame`, as floats: what the float model would be given.
    pub fn reals(&self, frame: &FrameView<'_>, origin: [usize; 2]) -> Vec<f32> {
        let [height, width, channels] = self.model;
        let tiled = self.settings.geometry != Geometry::Resize;
        let [rows, columns] = if tiled { self.extent } else { [height, width] };
        let mut reals = Vec::with_capacity(height * width * channels);
        for c in 0..channels {
            let source = self.source(Some(frame), c);
            for y in 0..height {
                for x in 0..width {
                    let at = mirror(origin[0] + y, rows) * columns + mirror(origin[1] + x, columns);
                    let sample = source.at(at);
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

#[cfg(test)]
mod tests;
