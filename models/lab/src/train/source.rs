//! Where training samples come from: an index gives a sample, the same on every machine.

use super::TrainError;
use candle_core::{Device, Tensor};
use candor_imaging::frame::{Frame, Samples};
use candor_imaging::labels::Labels;
use candor_imaging::phantom::{self, Phantom};
use rayon::prelude::*;

/// An image and its classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[C,H,W]`, as the network takes it.
    pub image: Vec<f32>,
    /// `[H,W]`
    pub labels: Vec<u8>,
}

/// Samples by index; sources that are finite come round again in another order.
pub trait Source: Sync {
    /// Channels, rows, columns.
    fn shape(&self) -> [usize; 3];

    /// Sample `index`.
    ///
    /// # Errors
    /// A sample that cannot be made.
    fn sample(&self, index: u64) -> Result<Sample, TrainError>;
}

/// Phantom slices; none comes twice.
pub struct PhantomSource(Phantom);

impl PhantomSource {
    /// Slices of `config` drawn from `seed`.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub fn new(config: phantom::Config, seed: u64) -> Result<Self, TrainError> {
        let made = Phantom::new(config, seed);
        made.map(Self).map_err(|error| TrainError::Invalid(error.problems().to_vec()))
    }

    /// Frame and truth `index`, as a device meets them.
    pub fn frame(&self, index: u64) -> (Frame, Labels) {
        let (frame, labels, _) = self.0.frame(index);
        (frame, labels)
    }
}

impl Source for PhantomSource {
    fn shape(&self) -> [usize; 3] {
        let config = self.0.config();
        [1, config.height, config.width]
    }

    fn sample(&self, index: u64) -> Result<Sample, TrainError> {
        let (frame, labels) = self.frame(index);
        Ok(Sample { image: gray(&frame)?, labels: labels.into_values() })
    }
}

/// Sample `index` of `sources[index % n]`: several data sets trained on jointly.
pub struct Mixture<'a>(pub Vec<&'a dyn Source>);

impl Source for Mixture<'_> {
    fn shape(&self) -> [usize; 3] {
        self.0[0].shape()
    }

    fn sample(&self, index: u64) -> Result<Sample, TrainError> {
        let count = self.0.len() as u64;
        self.0[(index % count) as usize].sample(index / count)
    }
}

/// Samples of a list, in an order drawn anew for every pass over it.
pub struct ListSource {
    shape: [usize; 3],
    samples: Vec<Sample>,
    seed: u64,
}

impl ListSource {
    /// Samples of `shape` (channels, rows, columns), their order drawn from `seed`.
    ///
    /// # Errors
    /// No sample, or samples of another shape.
    pub fn new(shape: [usize; 3], samples: Vec<Sample>, seed: u64) -> Result<Self, TrainError> {
        let pixels = shape[1] * shape[2];
        let fits = |sample: &Sample| sample.image.len() == shape[0] * pixels && sample.labels.len() == pixels;
        if samples.is_empty() || !samples.iter().all(fits) {
            return Err(TrainError::Invalid(vec![format!("samples of {shape:?} are needed, at least one")]));
        }
        Ok(Self { shape, samples, seed })
    }

    /// The samples in their own order.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

impl Source for ListSource {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn sample(&self, index: u64) -> Result<Sample, TrainError> {
        let count = self.samples.len() as u64;
        let mut random =
            crate::metrics::SplitMix64::new(self.seed ^ (index / count).wrapping_mul(0x9E37_79B9));
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at + 1));
        }
        Ok(self.samples[order[(index % count) as usize]].clone())
    }
}

/// A gray 8-bit frame as the network's input `[H,W]`: 0..1 of full scale, as the package's preprocessing
/// gives it.
///
/// # Errors
/// [`TrainError::Invalid`] for a frame that is not gray of 8 bits.
pub fn gray(frame: &Frame) -> Result<Vec<f32>, TrainError> {
    let Samples::U8(samples) = frame.samples() else {
        return Err(TrainError::Invalid(vec![format!("{}: not of 8 bits", frame.source().name)]));
    };
    Ok(samples.iter().map(|&sample| f32::from(sample) / 255.0).collect())
}

/// Samples as tensors: images `[N,C,H,W]` and one-hot labels `[N,K,H,W]`; labels beyond `classes` count as
/// the last.
///
/// # Errors
/// Candle's error; none is known for samples of one shape.
pub fn tensors(samples: &[Sample], shape: [usize; 3], classes: usize) -> candle_core::Result<[Tensor; 2]> {
    let [channels, height, width] = shape;
    let pixels = height * width;
    let images: Vec<f32> = samples.iter().flat_map(|sample| sample.image.iter().copied()).collect();
    let mut planes = vec![0.0f32; samples.len() * classes * pixels];
    for (sample, planes) in samples.iter().zip(planes.chunks_mut(classes * pixels)) {
        for (at, &class) in sample.labels.iter().enumerate() {
            planes[usize::from(class).min(classes - 1) * pixels + at] = 1.0;
        }
    }
    let images = Tensor::from_vec(images, (samples.len(), channels, height, width), &Device::Cpu)?;
    Ok([images, Tensor::from_vec(planes, (samples.len(), classes, height, width), &Device::Cpu)?])
}

/// Samples of `indices`, made on all threads.
///
/// # Errors
/// The first sample that cannot be made.
pub fn draw(source: &dyn Source, indices: std::ops::Range<u64>) -> Result<Vec<Sample>, TrainError> {
    indices.into_par_iter().map(|index| source.sample(index)).collect()
}
