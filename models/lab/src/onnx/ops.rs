//! Operator by operator: ONNX form in, typed nodes out. Each file holds one family.

pub(super) mod activation;
pub(super) mod arithmetic;
pub(super) mod constant;
pub(super) mod convolution;
pub(super) mod indexing;
pub(super) mod layout;
pub(super) mod linear;
pub(super) mod normalization;
pub(super) mod padding;
pub(super) mod pooling;
pub(super) mod quantization;
pub(super) mod reduction;
pub(super) mod resampling;
mod window;

use super::problem::Fault;

/// An axis that may count from the end, as an index below `rank`.
fn axis(name: &str, axis: i64, rank: usize) -> Result<usize, Fault> {
    let signed = i64::try_from(rank).unwrap_or(0);
    let index = if axis < 0 { axis.saturating_add(signed) } else { axis };
    usize::try_from(index).ok().filter(|&index| index < rank).ok_or_else(|| {
        Fault::at(name, format!("axis {axis} is outside a tensor of {rank} axes"), "export the model again")
    })
}

/// Axes that may count from the end, sorted; each may be named once.
fn axes(name: &str, list: &[i64], rank: usize) -> Result<Vec<usize>, Fault> {
    let mut axes = list.iter().map(|&item| axis(name, item, rank)).collect::<Result<Vec<usize>, Fault>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        let fault = Fault::at(name, format!("axes {list:?} name one axis twice"), "export the model again");
        return Err(fault);
    }
    Ok(axes)
}

/// Axes that may count from the end, in the order listed; each may be named once.
fn listed_axes(name: &str, list: &[i64], rank: usize) -> Result<Vec<usize>, Fault> {
    axes(name, list, rank)?;
    list.iter().map(|&item| axis(name, item, rank)).collect()
}

/// The shape two values broadcast to (NumPy rules, as ONNX "multidirectional broadcasting").
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Fault> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).and_then(|axis| shape.get(axis).copied()).unwrap_or(1)
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (a, b) if a == b => Ok(a),
            (1, b) => Ok(b),
            (a, 1) => Ok(a),
            _ => {
                let what = format!("shapes {a:?} and {b:?} do not broadcast");
                Err(Fault::new(what, "check the input size the network was exported for"))
            }
        })
        .collect()
}

/// A float tensor's axes as batch, channels, height, width.
///
/// # Errors
/// When the rank is not 4; 1-D and 3-D operators are named.
fn image(shape: &[usize]) -> Result<[usize; 4], Fault> {
    <[usize; 4]>::try_from(shape).map_err(|_| {
        let kind = match shape.len() {
            3 => "a 1-D operator (input of 3 axes) is not supported",
            5 => "a 3-D operator (input of 5 axes) is not supported",
            _ => "the input is not an image of 4 axes",
        };
        Fault::new(format!("{kind}: shape {shape:?}"), "export a 2-D network with NCHW input")
    })
}
