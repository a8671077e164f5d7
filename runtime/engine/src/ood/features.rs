//! What the detectors see of a frame: intensity counts, pooled activations and Gram matrices, summed in
//! integers while the frame runs.

use crate::frame::plane::Plane;
use candor_core::interpreter::Observer;
use candor_core::kernels::Kernels;
use candor_core::plan::{Plan, PlanError};
use candor_core::tensor::{Halo, Layout, Rows};

/// Intensity bins per channel.
pub const BINS: usize = 64;
/// Greatest number of tapped steps.
pub const TAP_LIMIT: usize = 16;

/// Tables that count in turn: neighbours often fall in one bin, and no increment is to wait for the last.
const TURNS: usize = 4;

/// A step whose output is looked at, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapPlace {
    /// Step index in the plan.
    pub step: usize,
    /// Of every so many rows, from the first on, one is looked at; at least 1. Neighbouring rows of a large
    /// image say nearly the same.
    pub every: usize,
    /// Channels of which the Gram matrix is taken, from the first on, or all if there are fewer: a spectrum
    /// costs their number cubed.
    pub spectrum: usize,
}

/// A tapped output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Where it is.
    pub place: TapPlace,
    /// Channels of its output.
    pub channels: usize,
    /// Zero point of its output.
    pub zero_point: u8,
    /// Pixels that are looked at; none where a later step completes the output.
    pub pixels: usize,
}

impl Tap {
    /// The tap at `place` of a plan.
    ///
    /// # Errors
    /// [`PlanError`] when the step does not exist.
    pub fn new(plan: &Plan<'_>, place: TapPlace) -> Result<Self, PlanError> {
        let tensor = plan.tensor(plan.step(place.step)?.output)?;
        let (layout, place) = (tensor.layout, TapPlace { every: place.every.max(1), ..place });
        let is_whole = plan.is_last_writer(place.step);
        let pixels = if is_whole { layout.height.div_ceil(place.every) * layout.width } else { 0 };
        Ok(Self { place, channels: layout.channels, zero_point: tensor.zero_point, pixels })
    }

    /// Numbers that are summed: Σv and Σv² of every channel, then Σ v_i·v_j for j ≤ i of the spectrum's.
    #[must_use]
    pub fn words(&self) -> usize {
        2 * self.channels + triangle(self.spectrum())
    }

    /// Channels of the Gram matrix.
    #[must_use]
    pub fn spectrum(&self) -> usize {
        self.channels.min(self.place.spectrum)
    }
}

/// Sums over one frame (all its tiles).
#[derive(Debug, Clone)]
pub struct Features {
    taps: Vec<Tap>,
    /// Intensity counts, `[channels][64]`.
    pub intensities: Vec<u32>,
    /// Σv and Σv² of every channel of the taps in order.
    sums: Vec<[u64; 2]>,
    pixels: Vec<u64>,
    /// Σ v_i·v_j for j ≤ i, of the taps in order.
    products: Vec<u64>,
    channel_scratch: Vec<[u64; 2]>,
    product_scratch: Vec<u64>,
}

/// How often each byte occurs.
fn count_bytes(samples: &[u8]) -> [u32; 256] {
    let mut tables = [[0_u32; 256]; TURNS];
    let (turns, rest) = samples.as_chunks::<TURNS>();
    for samples in turns {
        for (table, &sample) in tables.iter_mut().zip(samples) {
            table[usize::from(sample)] += 1;
        }
    }
    for &sample in rest {
        tables[0][usize::from(sample)] += 1;
    }
    std::array::from_fn(|sample| tables.iter().map(|table| table[sample]).sum())
}

/// Entries of the lower triangle of a matrix of `channels` rows.
const fn triangle(channels: usize) -> usize {
    channels * (channels + 1) / 2
}

impl Features {
    /// For outputs at `places` and `channels` input channels.
    ///
    /// # Errors
    /// [`PlanError`] when a step does not exist.
    pub fn new(plan: &Plan<'_>, places: &[TapPlace], channels: usize) -> Result<Self, PlanError> {
        let mut taps = Vec::new();
        for &place in places.iter().take(TAP_LIMIT) {
            taps.push(Tap::new(plan, place)?);
        }
        let widest = taps.iter().map(|tap| tap.channels).max().unwrap_or(0);
        Ok(Self {
            intensities: vec![0; channels * BINS],
            sums: vec![[0; 2]; taps.iter().map(|tap| tap.channels).sum()],
            pixels: vec![0; taps.len()],
            channel_scratch: vec![[0; 2]; widest],
            products: vec![0; taps.iter().map(|tap| triangle(tap.spectrum())).sum()],
            product_scratch: vec![0; triangle(widest)],
            taps,
        })
    }

    /// The taps.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// Forgets the last frame.
    pub fn clear(&mut self) {
        self.intensities.fill(0);
        self.sums.fill([0; 2]);
        self.pixels.fill(0);
        self.products.fill(0);
    }

    /// Counts samples of one channel; `full_scale` is the greatest value a sample can take.
    pub fn count_intensities(&mut self, channel: usize, samples: Plane<'_>, full_scale: u16) {
        let counts = &mut self.intensities[channel * BINS..(channel + 1) * BINS];
        let range = u32::from(full_scale) + 1;
        let bin = |sample: u32| (sample * BINS as u32 / range).min(BINS as u32 - 1) as usize;
        if let Plane::Narrow(samples) = samples {
            for (sample, count) in (0..).zip(count_bytes(samples)) {
                counts[bin(sample)] += count;
            }
            return;
        }
        // Full scale is one less than a power of two but for odd devices: a shift is many times as fast.
        let shift = range.is_power_of_two().then(|| range.trailing_zeros());
        let mut tables = [[0_u32; BINS]; TURNS];
        let mut turn = 0;
        samples.for_each(|sample| {
            let sample = u32::from(sample);
            let bin = shift.map_or_else(
                || bin(sample),
                |shift| ((sample * BINS as u32) >> shift).min(BINS as u32 - 1) as usize,
            );
            tables[turn % TURNS][bin] += 1;
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

    /// Writes the Gram matrix `[S][S]` of the first S channels of tap `index`, as many as its spectrum has,
    /// to `gram`: the zero point subtracted, both triangles.
    pub fn gram(&self, index: usize, gram: &mut [i64]) {
        let Some((before, [tap, ..])) = self.taps.split_at_checked(index) else { return };
        let mut products = self.products.iter().skip(before.iter().map(|tap| triangle(tap.spectrum())).sum());
        let sums = &self.sums[before.iter().map(|tap| tap.channels).sum()..][..tap.spectrum()];
        let (zero, pixels) = (i64::from(tap.zero_point), self.pixels[index] as i64);
        for (i, [own, _]) in sums.iter().enumerate() {
            for (j, [other, _]) in sums.iter().enumerate().take(i + 1) {
                let raw = products.next().copied().unwrap_or(0) as i64;
                let centred = raw - zero * (own + other) as i64 + zero * zero * pixels;
                for at in [i * sums.len() + j, j * sums.len() + i] {
                    if let Some(entry) = gram.get_mut(at) {
                        *entry = centred;
                    }
                }
            }
        }
    }

    /// All Gram matrices, one after another.
    #[must_use]
    pub fn grams(&self) -> Vec<Vec<i64>> {
        let of = |(index, tap): (usize, &Tap)| {
            let mut gram = vec![0; tap.spectrum() * tap.spectrum()];
            self.gram(index, &mut gram);
            gram
        };
        self.taps.iter().enumerate().map(of).collect()
    }

    /// Adds what a device summed of one model run, [`Tap::words`] numbers of each tap in order; those of a
    /// tap without pixels mean nothing.
    pub fn add_words(&mut self, words: &[u64]) {
        let (mut totals, mut products, mut rest) = (&mut self.sums[..], &mut self.products[..], words);
        for (tap, pixels) in self.taps.iter().zip(&mut self.pixels) {
            let (own_totals, own_products);
            (own_totals, totals) = totals.split_at_mut(tap.channels);
            (own_products, products) = products.split_at_mut(triangle(tap.spectrum()));
            let Some((own, after)) = rest.split_at_checked(tap.words()) else { return };
            rest = after;
            if tap.pixels == 0 {
                continue;
            }
            let (sums, pairs) = own.split_at(2 * tap.channels);
            for (total, [sum, squares]) in own_totals.iter_mut().zip(sums.as_chunks::<2>().0) {
                total[0] += sum;
                total[1] += squares;
            }
            own_products.iter_mut().zip(pairs).for_each(|(total, product)| *total += product);
            *pixels += tap.pixels as u64;
        }
    }

    /// An observer that adds one model run to the sums.
    pub fn observe<'a, K: Kernels>(&'a mut self, kernels: &'a K) -> TapObserver<'a, K> {
        TapObserver { features: self, kernels }
    }

    fn add(&mut self, index: usize, rows: Rows<'_>, kernels: &impl Kernels) {
        let tap = self.taps[index];
        let Some(rows) = every(rows, tap.place.every) else { return };
        let before = &self.taps[..index];
        let start: usize = before.iter().map(|tap| tap.channels).sum();
        let sums = &mut self.channel_scratch[..tap.channels];
        kernels.channel_sums(rows, sums);
        for (total, [sum, squares]) in self.sums[start..].iter_mut().zip(sums.iter()) {
            total[0] += sum;
            total[1] += squares;
        }
        self.pixels[index] += (rows.image_rows().len() * rows.layout.width) as u64;
        let start: usize = before.iter().map(|tap| triangle(tap.spectrum())).sum();
        let products = &mut self.product_scratch[..triangle(tap.spectrum())];
        let layout = Layout { channels: tap.spectrum(), ..rows.layout };
        kernels.gram(Rows { layout, ..rows }, sums, products);
        for (total, product) in self.products[start..].iter_mut().zip(products.iter()) {
            *total += product;
        }
    }
}

/// The image rows whose number is a multiple of `step`, as a tensor of their own; `None` if there is none.
#[must_use]
pub fn every(rows: Rows<'_>, step: usize) -> Option<Rows<'_>> {
    if step <= 1 {
        return Some(rows);
    }
    let (layout, held) = (rows.layout, rows.image_rows());
    let first = held.start.next_multiple_of(step);
    let last = held.end.checked_sub(1)? / step * step;
    if first > last {
        return None;
    }
    let at = |row: usize| (row + layout.halo.top - rows.origin) * layout.row_stride;
    let data = rows.data.get(at(first)..at(last) + layout.row_bytes())?;
    let halo = Halo { top: 0, ..layout.halo };
    let height = layout.height.div_ceil(step);
    let layout = Layout { height, halo, row_stride: layout.row_stride * step, ..layout };
    Some(Rows { layout, origin: first / step, data })
}

/// Adds tapped outputs to [`Features`] as they are made.
pub struct TapObserver<'a, K> {
    features: &'a mut Features,
    kernels: &'a K,
}

impl<K: Kernels> Observer for TapObserver<'_, K> {
    fn after_rows(&mut self, step: usize, _: usize, rows: Rows<'_>) {
        if let Some(index) = self.features.taps.iter().position(|tap| tap.place.step == step) {
            self.features.add(index, rows, self.kernels);
        }
    }
}

#[cfg(test)]
mod tests;
