//! Post-training quantization: ranges by several methods, the best one chosen on frames.

use super::BuildOptions;
use crate::dataset::{Entry, view};
use crate::execute;
use crate::lower::{self, Lowered};
use crate::network::{Network, Tensor};
use crate::quantize::ranges::{self, Method};
use candor::preprocess::Preprocessor;
use candor::{Package, Session, SessionOptions};
use candor_core::arithmetic::Scale;
use candor_core::package::{Activation, Preprocess};
use candor_core::tensor::{Element, Halo, Layout};
use candor_imaging::frame::Samples;
use serde_json::{Value, json};

/// Most frames whose activations are observed.
const OBSERVED: usize = 24;
/// Most frames on which methods are compared.
const COMPARED: usize = 6;

/// The chosen quantization.
pub(super) struct Chosen {
    pub(super) lowered: Lowered,
    pub(super) lines: Vec<String>,
    pub(super) summary: Value,
}

/// Quantizes by every method and keeps the one whose probabilities differ least from the float network's.
pub(super) fn choose(
    network: &Network,
    entries: &[Entry],
    preprocess: Preprocess,
    options: &BuildOptions,
) -> Result<Chosen, Vec<String>> {
    if entries.is_empty() {
        return Err(vec![
            "the model is float: give representative frames with --images, or export it as QDQ int8".into(),
        ]);
    }
    let frames = inputs(network, entries, preprocess)?;
    let failed = |error: execute::ExecuteError| vec![error.to_string()];
    let observed = ranges::observe(network, &frames).map_err(failed)?;
    let compared: Vec<&Vec<Tensor>> = spread(&frames, COMPARED);
    let mut ranking: Vec<(f64, Method, Lowered)> = Vec::new();
    for method in Method::ALL {
        let quantized = observed.quantize(network, method);
        let lowered = lower::lower(&quantized, options.ending)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let error = difference(network, &lowered, preprocess, options, &compared)?;
        ranking.push((error, method, lowered));
    }
    ranking.sort_by(|a, b| a.0.total_cmp(&b.0));
    let errors: Vec<Value> = ranking
        .iter()
        .map(|(error, method, _)| json!({ "method": method.name(), "mean_probability_difference": error }))
        .collect();
    let mut lines = vec![format!("quantization: activation ranges by {}", ranking[0].1.name())];
    lines.extend(ranking.iter().map(|(error, method, _)| {
        format!("  {:<22} mean probability difference to float {error:.6}", method.name())
    }));
    let summary =
        json!({ "method": ranking[0].1.name(), "observed_frames": frames.len(), "candidates": errors });
    Ok(Chosen { lowered: ranking.swap_remove(0).2, lines, summary })
}

/// Up to `count` elements, evenly spaced.
fn spread<T>(items: &[T], count: usize) -> Vec<&T> {
    let kept = items.len().min(count);
    (0..kept).map(|i| &items[i * items.len() / kept]).collect()
}

/// Real network inputs of up to [`OBSERVED`] frames, preprocessed as on the device.
fn inputs(
    network: &Network,
    entries: &[Entry],
    preprocess: Preprocess,
) -> Result<Vec<Vec<Tensor>>, Vec<String>> {
    let shape = network.inputs.first().map(|&id| network.values[id].shape.clone()).unwrap_or_default();
    let &[1, channels, height, width] = &shape[..] else {
        return Err(vec![format!("input shape {shape:?} is not one image [1, channels, height, width]")]);
    };
    let layout = Layout::packed(height, width, channels, Halo::default(), Element::Code);
    let mut preprocessor = Preprocessor::new(preprocess, layout, Scale::new(1.0), 0).ok();
    let mut frames = Vec::new();
    for entry in spread(entries, OBSERVED) {
        let frame = entry.frame().map_err(|line| vec![line])?;
        let values = match (frame.samples(), view(&frame), preprocessor.as_mut()) {
            (Samples::F32(values), _, _) if values.len() == channels * height * width => values.clone(),
            (_, Some(view), Some(preprocessor)) => {
                preprocessor.take(&view);
                preprocessor.reals(&view, [0, 0])
            }
            _ => {
                let own = [frame.channels(), frame.height(), frame.width()];
                let fix =
                    "give gray or colour frames to a model that takes them, or .npy arrays of its shape";
                return Err(vec![format!(
                    "{}: {own:?} (channels, rows, columns) does not fit the model's {:?}; {fix}",
                    entry.image.display(),
                    &shape[1..]
                )]);
            }
        };
        frames.push(vec![Tensor::f32(shape.clone(), values)]);
    }
    Ok(frames)
}

/// Mean absolute difference of class probabilities between the float network and its quantized form.
fn difference(
    network: &Network,
    lowered: &Lowered,
    preprocess: Preprocess,
    options: &BuildOptions,
    frames: &[&Vec<Tensor>],
) -> Result<f64, Vec<String>> {
    let one = |error: candor::Error| vec![error.to_string()];
    let sections = super::sections(network, lowered, preprocess, options)?;
    let package = Package::load(&sections.to_bytes()).map_err(one)?;
    let mut session =
        Session::new(&package, &SessionOptions { threads: 2, keep_output: true, ..Default::default() })
            .map_err(one)?;
    let (mut total, mut count) = (0.0, 0usize);
    for inputs in frames {
        let mut logits = Vec::new();
        execute::run(network, inputs, &mut |value, tensor| {
            if value == lowered.head.value {
                logits = tensor.as_f32().unwrap_or_default().to_vec();
            }
        })
        .map_err(|error| vec![error.to_string()])?;
        let tensor = &inputs[0];
        let codes = session
            .quantize_input(0, &tensor.shape[1..], tensor.as_f32().unwrap_or_default())
            .map_err(one)?;
        session.run_codes(&[&codes], &mut ()).map_err(one)?;
        let own = session.logits().map_err(one)?;
        let channels = lowered.head.channels;
        let (float, integer) =
            (probabilities(&logits, channels, &lowered.head), probabilities(&own, channels, &lowered.head));
        total += float.iter().zip(&integer).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>();
        count += float.len();
    }
    Ok(total / count.max(1) as f64)
}

/// Probabilities of planar logits.
fn probabilities(logits: &[f32], channels: usize, head: &lower::HeadSpec) -> Vec<f32> {
    if head.activation == Activation::Sigmoid {
        return logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    }
    let pixels = logits.len() / channels.max(1);
    let mut out = vec![0.0; logits.len()];
    for at in 0..pixels {
        let greatest = (0..channels).map(|c| logits[c * pixels + at]).fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = (0..channels).map(|c| (logits[c * pixels + at] - greatest).exp()).sum();
        for c in 0..channels {
            out[c * pixels + at] = (logits[c * pixels + at] - greatest).exp() / total;
        }
    }
    out
}
