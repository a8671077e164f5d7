//! The OOD profile: taps chosen on the plan, features of every frame, detectors and their joint threshold.

use super::Fitted;
use crate::dataset::{Entry, view};
use crate::detect::fit::{fit_intensity, fit_mahalanobis, fit_spectrum};
use crate::detect::verdict::fit_verdict;
use candor::Session;
use candor::ood::profile::{DETECTORS, HEADER_WORDS};
use candor::ood::score::{Normalisation, normalise, spectral_signature};
use candor_core::ops::Op;
use candor_core::plan::Plan;
use candor_core::tensor::Element;
use serde_json::json;

/// Start of the problem line when there are too few frames for any threshold.
pub(super) const TOO_FEW: &str = "too few frames";
/// Steps tapped.
const TAPS: usize = 6;
/// Widest tapped layer.
const WIDEST: usize = 256;
/// Widest layer whose spectrum is taken: its eigenvalues cost O(C³) per frame.
const WIDEST_SPECTRUM: usize = 64;
/// Most references a nearest-neighbour detector keeps.
const REFERENCES: usize = 128;

/// Features of the fitting frames, row per frame.
#[derive(Default)]
struct Rows {
    shares: Vec<f64>,
    pooled: Vec<f64>,
    signatures: Vec<f64>,
    extents: Vec<[usize; 2]>,
}

/// Runs every frame and fits the three detectors.
pub(super) fn fit(session: &mut Session<'_>, entries: &[Entry], alpha: f64) -> Result<Fitted, Vec<String>> {
    let line = |error: candor::Error| vec![error.to_string()];
    let needed = (1.0 / alpha - 1.0).ceil() as usize;
    if entries.len() < needed {
        return Err(vec![format!(
            "{TOO_FEW} ({}) for a false-alarm rate of {alpha}: {needed} needed",
            entries.len()
        )]);
    }
    let (steps, spectrum) = taps(session.plan()).map_err(|e| line(e.into()))?;
    if steps.is_empty() {
        return Err(vec![format!("{TOO_FEW}: no convolution of at most {WIDEST} channels to tap")]);
    }
    session.tap(&steps, spectrum).map_err(line)?;
    let rows = features(session, entries)?;
    let groups: Vec<u32> = (0..entries.len() as u32).collect();
    let counts: Vec<usize> =
        session.features().map(|f| f.taps().iter().map(|t| t.channels).collect()).unwrap_or_default();
    let failed = |error: crate::detect::DetectError| vec![format!("OOD detection: {error}")];
    let bins = rows.shares.len() / entries.len();
    let intensity = fit_intensity(&rows.shares, bins, &groups, REFERENCES).map_err(failed)?;
    let layers = fit_mahalanobis(&rows.pooled, &counts, &groups).map_err(failed)?;
    let spectra = fit_spectrum(&rows.signatures, counts[spectrum], &groups, REFERENCES).map_err(failed)?;
    let held_out = [&intensity.held_out[..], &layers.held_out, &spectra.held_out];
    let verdict = fit_verdict(&held_out, alpha).map_err(failed)?;
    let mut floats = vec![verdict.threshold];
    for scale in &verdict.scales {
        floats.extend([scale.median, scale.spread, scale.threshold]);
    }
    floats.extend(&intensity.detector.references);
    for layer in &layers.detector.layers {
        floats.extend(layer.mean.iter().chain(&layer.deviation).chain(&layer.factor));
    }
    floats.extend(&spectra.detector.references);
    let range = |axis: usize| {
        let own = rows.extents.iter().map(|e| e[axis] as u32);
        [own.clone().min().unwrap_or(0), own.max().unwrap_or(0)]
    };
    let mut words = vec![0u32; HEADER_WORDS];
    words[..11].copy_from_slice(&[
        1,
        (bins / 64) as u32,
        (intensity.detector.references.len() / bins) as u32,
        steps.len() as u32,
        spectrum as u32,
        (spectra.detector.references.len() / counts[spectrum]) as u32,
        range(0)[0],
        range(0)[1],
        range(1)[0],
        range(1)[1],
        (alpha as f32).to_bits(),
    ]);
    for (word, &step) in words[16..].iter_mut().zip(&steps) {
        *word = step as u32;
    }
    let mut section: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    section.extend(floats.iter().flat_map(|f| f.to_le_bytes()));
    let lines = vec![format!(
        "OOD detection: {} over steps {steps:?}, stated false-alarm rate {alpha}, {} frames",
        DETECTORS.join(", "),
        entries.len()
    )];
    let summary =
        json!({ "taps": steps, "alpha": alpha, "frames": entries.len(), "threshold": verdict.threshold });
    Ok(Fitted { section, lines, summary })
}

/// Up to [`TAPS`] convolution outputs spread over the plan, and which of them has the smallest image.
fn taps(plan: &Plan<'_>) -> Result<(Vec<usize>, usize), candor_core::plan::PlanError> {
    let mut candidates = Vec::new();
    for index in 0..plan.steps() {
        let step = plan.step(index)?;
        let layout = plan.tensor(step.output)?.layout;
        let convolution = matches!(step.op, Op::Convolution(_) | Op::Depthwise(_));
        let pixels = layout.height * layout.width;
        if convolution && layout.element == Element::Code && layout.channels <= WIDEST && pixels > 1 {
            candidates.push((index, pixels));
        }
    }
    let kept = candidates.len().min(TAPS);
    let mut steps: Vec<(usize, usize)> =
        (0..kept).map(|i| candidates[(i + 1) * candidates.len() / kept - 1]).collect();
    let mut smallest: Option<(usize, usize)> = None;
    for &(index, pixels) in &candidates {
        let channels = plan.tensor(plan.step(index)?.output)?.layout.channels;
        if channels <= WIDEST_SPECTRUM && smallest.is_none_or(|(_, least)| pixels <= least) {
            smallest = Some((index, pixels));
        }
    }
    let Some(smallest) = smallest else { return Ok((Vec::new(), 0)) };
    if !steps.contains(&smallest) {
        steps.push(smallest);
        steps.sort_unstable();
    }
    let spectrum = steps.iter().position(|&s| s == smallest).unwrap_or(0);
    Ok((steps.into_iter().map(|(index, _)| index).collect(), spectrum))
}

fn features(session: &mut Session<'_>, entries: &[Entry]) -> Result<Rows, Vec<String>> {
    let mut rows = Rows::default();
    for entry in entries {
        let frame = entry.frame().map_err(|line| vec![line])?;
        let view = view(&frame).ok_or_else(|| vec![format!("{}: not a picture", entry.image.display())])?;
        session.run(&view).map_err(|error| vec![error.to_string()])?;
        let Some(features) = session.features() else { continue };
        rows.extents.push([frame.height(), frame.width()]);
        let start = rows.shares.len();
        rows.shares.resize(start + features.intensities.len(), 0.0);
        let failed = |error: candor::ood::score::LengthMismatch| vec![error.to_string()];
        normalise(&features.intensities, &mut rows.shares[start..]).map_err(failed)?;
        let start = rows.pooled.len();
        rows.pooled.resize(start + features.pooled_len(), 0.0);
        features.pooled(&mut rows.pooled[start..]);
        let side = features.taps()[features.spectrum()].channels;
        let start = rows.signatures.len();
        rows.signatures.resize(start + side, 0.0);
        let mut matrix = vec![0.0; side * side];
        let signature = &mut rows.signatures[start..];
        spectral_signature(features.gram(), Normalisation::MeanLog, &mut matrix, signature)
            .map_err(failed)?;
    }
    Ok(rows)
}
