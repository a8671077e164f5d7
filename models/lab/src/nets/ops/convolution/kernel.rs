//! The inner loops of the training convolution, over whatever vectors the processor has.

use bytemuck::{Pod, cast_slice, pod_read_unaligned};
use pulp::{Simd, WithSimd};

/// Output channels summed at once by the convolution.
pub(super) const OUTPUTS: usize = 8;
/// Where there are few registers.
const HALF: usize = OUTPUTS / 2;
/// Partial sums of a weight's gradient, whatever the processor's vectors.
pub(super) const LANES: usize = 16;
/// Pixels that the widest tile may read or write beyond the last.
pub(super) const SLACK: usize = 64;
/// Pixels of a gradient that stay in the nearest cache while all weights take their share.
const STRIP: usize = 1024;

/// Convolves one image, whose padded planes lie `plane` pixels apart, to some outputs.
pub(super) struct Correlate<'a> {
    pub(super) image: &'a [f32],
    pub(super) plane: usize,
    pub(super) row: usize,
    pub(super) kernel: usize,
    /// `[inputs][taps]`
    pub(super) block: &'a [[f32; OUTPUTS]],
    /// Runs of `run` sums, the slack included, one for each output that there may be.
    pub(super) sums: &'a mut [f32],
    pub(super) run: usize,
    /// Of each output.
    pub(super) bias: &'a [f32],
    /// The outputs' planes of `pixels`, in rows of `width`.
    pub(super) target: &'a mut [f32],
    pub(super) pixels: usize,
    pub(super) width: usize,
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match (S::REGISTER_COUNT >= 32, self.kernel) {
            (true, 1) => self.tiles::<S, 0, OUTPUTS, 3, 1>(simd),
            (true, _) => self.tiles::<S, 0, OUTPUTS, 3, 3>(simd),
            (false, 1) => {
                self.tiles::<S, 0, HALF, 2, 1>(simd);
                self.tiles::<S, HALF, HALF, 2, 1>(simd);
            }
            (false, _) => {
                self.tiles::<S, 0, HALF, 2, 3>(simd);
                self.tiles::<S, HALF, HALF, 2, 3>(simd);
            }
        }
        for (own, target) in self.target.chunks_mut(self.pixels).enumerate() {
            let rows = self.sums[own * self.run..].chunks(self.row);
            for (source, target) in rows.zip(target.chunks_mut(self.width)) {
                target.iter_mut().zip(source).for_each(|(to, from)| *to = from + self.bias[own]);
            }
        }
    }
}

impl Correlate<'_> {
    /// The sums of the `O` outputs from `FIRST` on.
    #[inline(always)]
    fn tiles<S: Simd, const FIRST: usize, const O: usize, const V: usize, const K: usize>(
        &mut self,
        simd: S,
    ) {
        let tile = V * S::F32_LANES;
        for at in (0..self.run - SLACK).step_by(tile) {
            let mut sums = [[simd.splat_f32s(0.0); V]; O];
            let planes = self.image.chunks_exact(self.plane);
            for (plane, weights) in planes.zip(self.block.chunks_exact(K * K)) {
                for ky in 0..K {
                    let source = &plane[at + ky * self.row..][..tile + K - 1];
                    for kx in 0..K {
                        let weights = weights[ky * K + kx];
                        let mut x = [simd.splat_f32s(0.0); V];
                        for v in 0..V {
                            x[v] = load::<S::f32s>(&source[kx + v * S::F32_LANES..], S::F32_LANES);
                        }
                        for o in 0..O {
                            let weight = simd.splat_f32s(weights[FIRST + o]);
                            for v in 0..V {
                                sums[o][v] = simd.mul_add_f32s(x[v], weight, sums[o][v]);
                            }
                        }
                    }
                }
            }
            for (o, sums) in sums.iter().enumerate() {
                let target = &mut self.sums[(FIRST + o) * self.run + at..][..tile];
                target.copy_from_slice(cast_slice(sums));
            }
        }
    }
}

/// Adds up, for every tap of every input and of `outputs` outputs, the products of image and gradient.
pub(super) struct WeightGradient<'a> {
    pub(super) image: &'a [f32],
    /// Planes like those of the image, from their first pixel within the halo.
    pub(super) gradient: &'a [f32],
    pub(super) outputs: usize,
    pub(super) plane: usize,
    pub(super) row: usize,
    pub(super) run: usize,
    pub(super) kernel: usize,
    /// `[outputs][inputs][K][K]`; whatever they held is gone.
    pub(super) sums: &'a mut [[f32; LANES]],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::F32_LANES, self.kernel) {
            (16, 1) => self.strips::<S, 1, 4, 1>(simd),
            (16, _) => self.strips::<S, 1, 4, 3>(simd),
            (8, 1) => self.strips::<S, 2, 2, 1>(simd),
            (8, _) => self.strips::<S, 2, 2, 3>(simd),
            (4, 1) => self.strips::<S, 4, 2, 1>(simd),
            (4, _) => self.strips::<S, 4, 2, 3>(simd),
            (_, 1) => self.strips::<S, 16, 1, 1>(simd),
            (_, _) => self.strips::<S, 16, 1, 3>(simd),
        }
    }
}

impl WeightGradient<'_> {
    /// Sums of `O` outputs at a time, each in `V` vectors. The last strip reads zeros of the halo, or the
    /// next plane's, against zeros of the gradient.
    #[inline(always)]
    fn strips<S: Simd, const V: usize, const O: usize, const K: usize>(self, simd: S) {
        let inputs = self.image.len() / self.plane;
        for start in (0..self.run).step_by(STRIP) {
            let count = STRIP.min((self.run - start).next_multiple_of(LANES));
            for first in (0..self.outputs).step_by(O) {
                let gradients = std::array::from_fn::<_, O, _>(|o| {
                    let own = (first + o).min(self.outputs - 1);
                    &self.gradient[own * self.plane + start..][..count]
                });
                for (input, plane) in self.image.chunks_exact(self.plane).enumerate() {
                    for ky in 0..K {
                        let source = &plane[start + ky * self.row..][..count + K - 1];
                        let found = row_of_taps::<S, V, O, K>(simd, source, gradients);
                        for o in 0..O.min(self.outputs - first) {
                            let tap = (((first + o) * inputs + input) * K + ky) * K;
                            for kx in 0..K {
                                let sums = self.sums[tap + kx].iter_mut();
                                sums.zip(found[o][kx]).for_each(|(sum, found)| {
                                    *sum = if start == 0 { found } else { *sum + found };
                                });
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn row_of_taps<S: Simd, const V: usize, const O: usize, const K: usize>(
    simd: S,
    source: &[f32],
    gradients: [&[f32]; O],
) -> [[[f32; LANES]; K]; O] {
    let mut sums = [[[simd.splat_f32s(0.0); V]; K]; O];
    for at in (0..source.len() + 1 - K).step_by(LANES) {
        let source = &source[at..at + LANES + K - 1];
        for v in 0..V {
            let mut own = [simd.splat_f32s(0.0); O];
            for o in 0..O {
                own[o] = load::<S::f32s>(&gradients[o][at + v * S::F32_LANES..], S::F32_LANES);
            }
            for kx in 0..K {
                let x = load::<S::f32s>(&source[kx + v * S::F32_LANES..], S::F32_LANES);
                for o in 0..O {
                    sums[o][kx][v] = simd.mul_add_f32s(x, own[o], sums[o][kx][v]);
                }
            }
        }
    }
    // A copy, because sums that the caller indexes would be kept in memory throughout.
    let mut found = [[[0.0; LANES]; K]; O];
    for o in 0..O {
        for kx in 0..K {
            found[o][kx].copy_from_slice(cast_slice(&sums[o][kx]));
        }
    }
    found
}

/// A vector from the first `lanes` of `values`, which need not be aligned.
#[inline(always)]
fn load<T: Pod>(values: &[f32], lanes: usize) -> T {
    pod_read_unaligned(cast_slice(&values[..lanes]))
}
