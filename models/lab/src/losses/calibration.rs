//! The marginal L1 average calibration error as a loss, with hard and soft bins.

use candle_core::{DType, Device, Result, Tensor};

/// Mean over images and classes of (1/B) Σ_b |mean p − mean y| over the B bins that hold pixels (mL1-ACE,
/// Barfoot et al. 2024; soft bins Barfoot et al. 2025): the bins are of one class's probabilities in one
/// image. With soft bins a pixel counts in the two bins whose centres lie next to p, by 1 − its distance in
/// bin widths.
///
/// Hard bins have no gradient of their own, so that of the loss is ±1/(B · pixels of the bin) per pixel.
pub(super) fn average_error(p: &Tensor, truth: &Tensor, bins: usize, soft: bool) -> Result<Tensor> {
    let (images, classes, height, width) = p.dims4()?;
    let values = |tensor: &Tensor| tensor.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (own, labels) = (values(p)?, values(truth)?);
    let mut gradient = vec![0.0; own.len()];
    let mut error = 0.0;
    let plane = height * width;
    let share = 1.0 / (images * classes) as f64;
    for ((p, y), gradient) in own.chunks(plane).zip(labels.chunks(plane)).zip(gradient.chunks_mut(plane)) {
        error += share * plane_error(p, y, gradient, bins, soft);
        gradient.iter_mut().for_each(|g| *g *= share);
    }
    let gradient = Tensor::from_vec(gradient, p.shape(), &Device::Cpu)?.to_dtype(p.dtype())?;
    ((p - p.detach())? * gradient)?.sum_all()? + error
}

/// The two bins of a probability and its weight in the second.
fn place(p: f64, bins: usize, soft: bool) -> ([usize; 2], f64) {
    let last = bins - 1;
    if !soft {
        return ([((p * bins as f64) as usize).min(last); 2], 0.0);
    }
    let position = (p * bins as f64 - 0.5).clamp(0.0, last as f64);
    let first = (position as usize).min(last.saturating_sub(1));
    ([first, first + 1], position - first as f64)
}

/// The error of one class in one image; its gradient to every probability is left in `gradient`.
fn plane_error(p: &[f64], y: &[f64], gradient: &mut [f64], bins: usize, soft: bool) -> f64 {
    // Weight and weighted p − y of each bin.
    let (mut weights, mut gaps) = (vec![0.0f64; bins], vec![0.0f64; bins]);
    for (&p, &y) in p.iter().zip(y) {
        let ([first, second], share) = place(p, bins, soft);
        for (bin, weight) in [(first, 1.0 - share), (second, share)] {
            weights[bin] += weight;
            gaps[bin] += weight * (p - y);
        }
    }
    let filled = weights.iter().filter(|&&weight| weight > 0.0).count() as f64;
    let mean = |bin: usize| if weights[bin] > 0.0 { gaps[bin] / weights[bin] } else { 0.0 };
    for ((&p, &y), gradient) in p.iter().zip(y).zip(gradient) {
        let ([first, second], share) = place(p, bins, soft);
        // Weights move with p only between the first and the last centre.
        let centred = p * bins as f64 - 0.5;
        let moves = soft && centred > 0.0 && centred < (bins - 1) as f64;
        let slope = if moves { bins as f64 } else { 0.0 };
        for (bin, weight, slope) in [(first, 1.0 - share, -slope), (second, share, slope)] {
            if weights[bin] > 0.0 {
                let change = weight + slope * (p - y) - slope * mean(bin);
                *gradient += sign(gaps[bin]) * change / (weights[bin] * filled);
            }
        }
    }
    (0..bins).map(|bin| mean(bin).abs()).sum::<f64>() / filled.max(1.0)
}

fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}
