//! Float arrays in and out: inputs fed as they are, and the source model's own output.

use super::Session;
use crate::error::{Error, ErrorKind};
use candor_core::arithmetic::Scale;
use candor_core::package::{Activation, Head};
use candor_core::tensor::Rows;

impl Session<'_> {
    /// Codes of a float array `[C,H,W]` for input `index`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for another shape or a value that is not a number.
    pub fn quantize_input(&self, index: usize, shape: &[usize], values: &[f32]) -> Result<Vec<u8>, Error> {
        let input = self.plan.tensor(index)?;
        let layout = input.layout;
        let expected = [layout.channels, layout.height, layout.width];
        if shape != expected && !(layout.channels == 1 && shape == &expected[1..]) {
            let what =
                format!("array of shape {shape:?}; the model takes {expected:?} (channels, rows, columns)");
            return Err(Error::new(ErrorKind::Input, what));
        }
        let quantize = |(at, &x): (usize, &f32)| {
            input.scale.quantize(x, input.zero_point).ok_or_else(|| {
                Error::new(ErrorKind::Input, format!("value {at} of the array is not a number"))
            })
        };
        values.iter().enumerate().map(quantize).collect()
    }

    /// The output of the last model run as real logits, planar `[C,H,W]`: dequantized, nothing else.
    ///
    /// # Errors
    /// Never after a run.
    pub fn logits(&self) -> Result<Vec<f32>, Error> {
        let rows = self.output()?;
        let tensor = self.plan.tensor(self.plan.output())?;
        let layout = rows.layout;
        let mut values = Vec::with_capacity(layout.channels * layout.height * layout.width);
        for c in 0..layout.channels {
            let scale = self.head.scales.get(c).copied().unwrap_or(tensor.scale);
            for y in 0..layout.height {
                for x in 0..layout.width {
                    values.push(dequantize(rows, scale, tensor.zero_point, [y, x, c]));
                }
            }
        }
        Ok(values)
    }

    /// The source model's own output of the last model run as floats `[C,H,W]`: dequantized, and with the
    /// activation that the plan leaves to the tables.
    ///
    /// # Errors
    /// Never after a run.
    pub fn raw_output(&self) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let layout = self.output()?.layout;
        let mut values = self.logits()?;
        if self.head.activation_stripped {
            activate(&self.head, layout.height * layout.width, &mut values);
        }
        Ok((vec![layout.channels, layout.height, layout.width], values))
    }
}

fn dequantize(rows: Rows<'_>, scale: Scale, zero_point: u8, [y, x, c]: [usize; 3]) -> f32 {
    scale.dequantize(rows.value(y, x, c) - i32::from(zero_point))
}

/// The source model's last function, in place over planar values.
fn activate(head: &Head<'_>, pixels: usize, values: &mut [f32]) {
    match head.activation {
        Activation::Sigmoid => values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
        Activation::Softmax => {
            for at in 0..pixels {
                let column = || (at..values.len()).step_by(pixels);
                let greatest = column().map(|i| values[i]).fold(f32::NEG_INFINITY, f32::max);
                let total: f32 = column().map(|i| (values[i] - greatest).exp()).sum();
                let indices: Vec<usize> = column().collect();
                for i in indices {
                    values[i] = (values[i] - greatest).exp() / total;
                }
            }
        }
    }
}
