//! ONNX MaxPool and AveragePool in two dimensions.

#[cfg(test)]
mod tests;

use super::{layout, parallel, window};
use crate::network::{Data, Tensor, Window};

/// A checked pool: where it reads.
struct Pool<'a> {
    window: &'a Window,
    /// Input H, W.
    input: [usize; 2],
    /// Output H, W.
    output: [usize; 2],
}

/// Largest element under each window; padding never wins. x [N, C, H, W] of floats or integers.
///
/// # Errors
/// When x has booleans, or the window does not fit x and `declared`.
pub(super) fn max_pool(
    x: &Tensor,
    window: &Window,
    ceil: bool,
    declared: &[usize],
) -> Result<Tensor, String> {
    let pool = Pool::new(&x.shape, window, ceil, declared)?;
    let data = match &x.data {
        Data::F32(x) => Data::F32(pool.maximum(x, f32::NEG_INFINITY, declared)?),
        Data::I64(x) => Data::I64(pool.maximum(x, i64::MIN, declared)?),
        Data::I8(x) => Data::I8(pool.maximum(x, i8::MIN, declared)?),
        Data::U8(x) => Data::U8(pool.maximum(x, u8::MIN, declared)?),
        Data::Bool(_) => return Err("x holds booleans".into()),
    };
    Ok(Tensor { shape: declared.to_vec(), data })
}

/// Mean under each window, over the input positions it covers, or also over the padded ones with
/// `count_include_pad`; positions beyond the padding, which `ceil` can reach, never count. A window over
/// padding alone gives 0. x [N, C, H, W] f32.
///
/// # Errors
/// When x is not float, or the window does not fit x and `declared`.
pub(super) fn average_pool(
    x: &Tensor,
    window: &Window,
    ceil: bool,
    count_include_pad: bool,
    declared: &[usize],
) -> Result<Tensor, String> {
    let pool = Pool::new(&x.shape, window, ceil, declared)?;
    let x = layout::floats(x, "x")?;
    let [rows, columns] = [0, 1].map(|axis| pool.counts(axis, count_include_pad));
    let mut out = vec![0.0; layout::volume(declared)?];
    parallel::planes(&mut out, pool.output[0] * pool.output[1], |index, plane| {
        pool.fold(pool.plane(x, index), plane, |sum, value| *sum += value);
        for (row, row_count) in plane.chunks_mut(pool.output[1]).zip(&rows) {
            for (sum, column_count) in row.iter_mut().zip(&columns) {
                *sum /= (row_count * column_count).max(1) as f32;
            }
        }
    });
    Ok(Tensor::f32(declared.to_vec(), out))
}

impl<'a> Pool<'a> {
    /// Checks the window against the shapes.
    fn new(x: &[usize], window: &'a Window, ceil: bool, declared: &[usize]) -> Result<Self, String> {
        let [images, channels, height, width] = window::image(x, "x")?;
        let output = window::extents(window, [height, width], ceil)?;
        layout::expect(&[images, channels, output[0], output[1]], declared)?;
        Ok(Self { window, input: [height, width], output })
    }

    /// The input plane behind output plane `index`.
    fn plane<'x, T>(&self, x: &'x [T], index: usize) -> &'x [T] {
        let plane = self.input[0] * self.input[1];
        &x[index * plane..][..plane]
    }

    /// Maximum over all planes, starting from `lowest`.
    fn maximum<T: Copy + PartialOrd + Send + Sync>(
        &self,
        x: &[T],
        lowest: T,
        declared: &[usize],
    ) -> Result<Vec<T>, String> {
        let mut out = vec![lowest; layout::volume(declared)?];
        parallel::planes(&mut out, self.output[0] * self.output[1], |index, plane| {
            self.fold(self.plane(x, index), plane, |best, value| {
                if value > *best {
                    *best = value;
                }
            });
        });
        Ok(out)
    }

    /// Feeds every input element under each window of one plane to `step`.
    fn fold<T: Copy>(&self, input: &[T], out: &mut [T], step: impl Fn(&mut T, T)) {
        let Window { kernel, stride, dilation, pads } = self.window;
        for (y, row) in out.chunks_mut(self.output[1]).enumerate() {
            for tap_y in 0..kernel[0] {
                let offset_y = window::tap_offset(tap_y, dilation[0], pads[0]);
                if !window::reach(self.output[0], self.input[0], stride[0], offset_y).contains(&y) {
                    continue;
                }
                let line =
                    &input[window::position(y, stride[0], offset_y) * self.input[1]..][..self.input[1]];
                for tap_x in 0..kernel[1] {
                    let offset_x = window::tap_offset(tap_x, dilation[1], pads[1]);
                    let inside = window::reach(self.output[1], self.input[1], stride[1], offset_x);
                    if inside.is_empty() {
                        continue;
                    }
                    let line = &line[window::position(inside.start, stride[1], offset_x)..];
                    let values = line.iter().step_by(stride[1]);
                    row[inside].iter_mut().zip(values).for_each(|(out, value)| step(out, *value));
                }
            }
        }
    }

    /// How many taps along `axis` count, for each output position.
    fn counts(&self, axis: usize, include_pad: bool) -> Vec<usize> {
        let (begin, end) = (self.window.pads[axis], self.window.pads[axis + 2]);
        let (before, extent) =
            if include_pad { (0, begin + self.input[axis] + end) } else { (begin, self.input[axis]) };
        let count = |position: usize| {
            let offset = window::tap_offset(position, self.window.stride[axis], before);
            window::reach(self.window.kernel[axis], extent, self.window.dilation[axis], offset).len()
        };
        (0..self.output[axis]).map(count).collect()
    }
}
