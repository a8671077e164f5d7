//! What the detectors see of a frame: intensity counts, pooled activations and Gram matrices, summed in
//! integers while the frame runs.

use crate::frame::plane::Plane;
use candor_core::interpreter::Observer;
use candor_core::kernels::Kernels;
use candor_core::plan::{Plan, PlanError};
use candor_core::tensor::Rows;

/// Intensity bins per channel.
pub const BINS: usize = 64;
/// Greatest number of tapped steps.
pub const TAP_LIMIT: usize = 16;

/// Tables that count in turn.
const TURNS: usize = 4;

/// A step whose output is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Step index in the plan.
    pub step: usize,
    /// Channels of its output.
    pub channels: usize,
    /// Zero point of its output.
    pub zero_point: u8,
}

/// Sums over one frame (all its tiles).
#[derive(Debug, Clone)]
pub struct Features {
    taps: Vec<Tap>,
    /// Intensity counts, `[channels][64]`.
    pub intensities: Vec<u32>,
    sums: Vec<[u64; 2]>,
    pixels: Vec<u64>,
    channel_scratch: Vec<[u64; 2]>,
    gram_scratch: Vec<u64>,
    gram: Vec<i64>,
}

impl Features {
    /// For outputs of `steps` and `channels` input channels.
    ///
    /// # Errors
    /// [`PlanError`] when a step does not exist.
    pub fn new(plan: &Plan<'_>, steps: &[usize], channels: usize) -> Result<Self, PlanError> {
        let mut taps = Vec::new();
        for &step in steps.iter().take(TAP_LIMIT) {
            let tensor = plan.tensor(plan.step(step)?.output)?;
            taps.push(Tap { step, channels: tensor.layout.channels, zero_point: tensor.zero_point });
        }
        let widest = taps.iter().map(|tap| tap.channels).max().unwrap_or(0);
        Ok(Self {
            intensities: vec![0; channels * BINS],
            sums: vec![[0; 2]; taps.iter().map(|tap| tap.channels).sum()],
            pixels: vec![0; taps.len()],
            channel_scratch: vec![[0; 2]; widest],
            gram_scratch: vec![0; widest * (widest + 1) / 2],
            gram: vec![0; taps.iter().map(|tap| tap.channels * tap.channels).sum()],
            taps,
        })
    }

    /// The tapped steps.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// Forgets the last frame.
    pub fn clear(&mut self) {
        self.intensities.fill(0);
        self.sums.fill([0; 2]);
        self.pixels.fill(0);
        self.gram.fill(0);
    }

    /// Counts samples of one channel; `full_scale` is the greatest value a sample can take.
    pub fn count_intensities(&mut self, channel: usize, samples: Plane<'_>, full_scale: u16) {
        let counts = &mut self.intensities[channel * BINS..(channel + 1) * BINS];
        let range = u32::from(full_scale) + 1;
        // Full scale is one less than a power of two but for odd devices: a shift is many times as fast.
        let shift = range.is_power_of_two().then(|| range.trailing_zeros());
        // Neighbours often fall in one bin: tables in turn, so that no increment waits for the last.
        let mut tables = [[0_u32; BINS]; TURNS];
        let mut turn = 0;
        samples.for_each(|sample| {
            let scaled = u32::from(sample) * BINS as u32;
            let bin = shift.map_or_else(|| scaled / range, |shift| scaled >> shift).min(BINS as u32 - 1);
            tables[turn % TURNS][bin as usize] += 1;
            turn += 1;
        });
        for (bin, count) in counts.iter_mut().enumerate() {
            *count += tables.iter().map(|table| table[bin]).sum::<u32>();
        }
    }

    /// Of every tap in order: the mean code of each channel, then the deviation of each channel over the
    /// pixels.
    ///
    /// # Exactness
    /// Sums are integers; one division for the mean, then the mean of v² minus mean² and a correctly rounded
    /// square root in f64.
    pub fn pooled(&self, pooled: &mut [f64]) {
        let (mut start, mut target) = (0, pooled);
        for (tap, &pixels) in self.taps.iter().zip(&self.pixels) {
            let sums = &self.sums[start..start + tap.channels];
            let Some((own, rest)) = target.split_at_mut_checked(2 * tap.channels) else { return };
            let count = pixels.max(1) as f64;
            for (c, &[sum, squares]) in sums.iter().enumerate() {
                let mean = sum as f64 / count;
                own[c] = mean;
                own[tap.channels + c] = (squares as f64 / count - mean * mean).max(0.0).sqrt();
            }
            start += tap.channels;
            target = rest;
        }
    }

    /// Number of pooled values: two per tapped channel.
    pub fn pooled_len(&self) -> usize {
        2 * self.sums.len()
    }

    /// The Gram matrices `[C][C]` of the taps in order, zero points subtracted; symmetric, both triangles
    /// filled.
    pub fn grams(&self) -> impl Iterator<Item = &[i64]> {
        let mut rest = &self.gram[..];
        self.taps.iter().map(move |tap| {
            let (own, after) = rest.split_at(tap.channels * tap.channels);
            rest = after;
            own
        })
    }

    /// An observer that adds one model run to the sums.
    pub fn observe<'a, K: Kernels>(&'a mut self, kernels: &'a K) -> TapObserver<'a, K> {
        TapObserver { features: self, kernels }
    }

    fn add(&mut self, index: usize, rows: Rows<'_>, kernels: &impl Kernels) {
        let tap = self.taps[index];
        let start: usize = self.taps[..index].iter().map(|tap| tap.channels).sum();
        let sums = &mut self.channel_scratch[..tap.channels];
        kernels.channel_sums(rows, sums);
        for (total, [sum, squares]) in self.sums[start..].iter_mut().zip(sums.iter()) {
            total[0] += sum;
            total[1] += squares;
        }
        let pixels = (rows.image_rows().len() * rows.layout.width) as u64;
        self.pixels[index] += pixels;
        let packed = &mut self.gram_scratch[..tap.channels * (tap.channels + 1) / 2];
        kernels.gram(rows, packed);
        let before: usize = self.taps[..index].iter().map(|tap| tap.channels * tap.channels).sum();
        let gram = &mut self.gram[before..];
        let zero = i64::from(tap.zero_point);
        let mut packed = packed.iter();
        for i in 0..tap.channels {
            for j in 0..=i {
                let raw = packed.next().copied().unwrap_or(0) as i64;
                let cross = (sums[i][0] + sums[j][0]) as i64;
                let centred = raw - zero * cross + zero * zero * pixels as i64;
                gram[i * tap.channels + j] += centred;
                if i != j {
                    gram[j * tap.channels + i] += centred;
                }
            }
        }
    }
}

/// Adds tapped outputs to [`Features`] as they are made.
pub struct TapObserver<'a, K> {
    features: &'a mut Features,
    kernels: &'a K,
}

impl<K: Kernels> Observer for TapObserver<'_, K> {
    fn after_rows(&mut self, step: usize, _: usize, rows: Rows<'_>) {
        if let Some(index) = self.features.taps.iter().position(|tap| tap.step == step) {
            self.features.add(index, rows, self.kernels);
        }
    }
}
