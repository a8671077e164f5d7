//! 3×3 patches of an image as columns, and back: convolution by matrix product, fast forward and backward.
//!
//! Candle's own convolution computes input gradients by a loop that is far slower on a CPU than a product.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Taps of the kernel.
const TAPS: usize = 9;

/// The 3×3 convolution with zero padding 1: x `[N,C,H,W]`, weight `[O,C,3,3]`, result `[N,O,H,W]`.
///
/// # Errors
/// Shapes that do not fit.
pub fn convolve(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (images, _, height, width) = x.dims4()?;
    let outputs = weight.dim(0)?;
    let columns = x.contiguous()?.apply_op1(Unfold { height, width })?;
    let matrix = weight.reshape((outputs, ()))?.unsqueeze(0)?;
    matrix.broadcast_matmul(&columns)?.reshape((images, outputs, height, width))
}

/// `[N,C,H,W]` to `[N,9·C,H·W]`: row `9·c + 3·ky + kx` is channel c moved by (ky − 1, kx − 1), zero outside.
struct Unfold {
    height: usize,
    width: usize,
}

/// The adjoint of [`Unfold`]: sums every column back into its patch.
struct Fold {
    height: usize,
    width: usize,
}

/// Rows and columns of `0..extent` that lie inside after moving by `tap − 1`: target start, source start, count.
fn inside(tap: usize, extent: usize) -> (usize, usize, usize) {
    match tap {
        0 => (1, 0, extent - 1),
        1 => (0, 0, extent),
        _ => (0, 1, extent - 1),
    }
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    let (start, end) =
        layout.contiguous_offsets().ok_or_else(|| candle_core::Error::msg("patches need a contiguous tensor"))?;
    Ok(&values[start..end])
}

/// Calls `work(image, input, output)` for every image, each on its own thread.
fn per_image(input: &[f32], output: &mut [f32], images: usize, work: impl Fn(&[f32], &mut [f32]) + Sync) {
    if input.is_empty() || output.is_empty() || images == 0 {
        return;
    }
    let (from, to) = (input.len() / images, output.len() / images);
    std::thread::scope(|scope| {
        for (input, output) in input.chunks(from).zip(output.chunks_mut(to)) {
            let work = &work;
            scope.spawn(move || work(input, output));
        }
    });
}

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold3x3"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, channels, height, width) = layout.shape().dims4()?;
        let plane = height * width;
        let mut columns = vec![0.0; images * channels * TAPS * plane];
        per_image(floats(storage, layout)?, &mut columns, images, |image, columns| {
            for (row, column) in columns.chunks_mut(plane).enumerate() {
                let (channel, tap) = (row / TAPS, row % TAPS);
                let source = &image[channel * plane..(channel + 1) * plane];
                let (to_y, from_y, rows) = inside(tap / 3, height);
                let (to_x, from_x, count) = inside(tap % 3, width);
                for y in 0..rows {
                    let (to, from) = ((to_y + y) * width + to_x, (from_y + y) * width + from_x);
                    column[to..to + count].copy_from_slice(&source[from..from + count]);
                }
            }
        });
        Ok((CpuStorage::F32(columns), Shape::from((images, channels * TAPS, plane))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let fold = Fold { height: self.height, width: self.width };
        Ok(Some(gradient.contiguous()?.apply_op1_no_bwd(&fold)?))
    }
}

impl CustomOp1 for Fold {
    fn name(&self) -> &'static str {
        "fold3x3"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, rows, plane) = layout.shape().dims3()?;
        let (channels, height, width) = (rows / TAPS, self.height, self.width);
        let mut image = vec![0.0; images * channels * plane];
        per_image(floats(storage, layout)?, &mut image, images, |columns, image| {
            for (row, column) in columns.chunks(plane).enumerate() {
                let (channel, tap) = (row / TAPS, row % TAPS);
                let target = &mut image[channel * plane..(channel + 1) * plane];
                let (from_y, to_y, rows) = inside(tap / 3, height);
                let (from_x, to_x, count) = inside(tap % 3, width);
                for y in 0..rows {
                    let (to, from) = ((to_y + y) * width + to_x, (from_y + y) * width + from_x);
                    for (to, from) in target[to..to + count].iter_mut().zip(&column[from..from + count]) {
                        *to += from;
                    }
                }
            }
        });
        Ok((CpuStorage::F32(image), Shape::from((images, channels, height, width))))
    }
}

#[cfg(test)]
mod tests;
