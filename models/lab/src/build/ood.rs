//! The OOD profile: taps chosen on the plan, features of every frame, detectors and their joint threshold.

use super::Fitted;
use crate::dataset::{Entry, view};
use crate::detect::fit::{fit_intensity, fit_mahalanobis, fit_spectrum};
use crate::detect::verdict::fit_verdict;
use candor::Session;
use candor::ood::features::TapPlace;
use candor::ood::profile::{DETECTORS, EVERY_LIMIT, HEADER_WORDS, tap_word};
use candor::ood::score::{Normalisation, normalise, spectral_signature};
use candor_core::ops::Op;
use candor_core::plan::Plan;
use candor_core::tensor::Element;
use serde_json::json;

/// Start of the problem line when there are too few frames for any threshold.
pub(super) const TOO_FEW: &str = "too few frames";
/// Places tapped.
const TAPS: usize = 6;
/// Pixels looked at of an image, at least, in whole rows: more say little more about a frame.
const PIXELS: usize = 8192;
/// Widest tapped layer: its profile holds 2·C² numbers, and its eigenvalues cost O(C³) per frame.
const WIDEST: usize = 64;
/// Most channels whose spectrum is taken.
const SPECTRUM: usize = 32;
/// Most references a nearest-neighbour detector keeps.
const REFERENCES: usize = 64;

/// Features of the fitting frames, row per frame.
#[derive(Default)]
struct Rows {
    shares: Vec<f64>,
    pooled: Vec<f64>,
    signatures: Vec<Vec<f64>>,
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
    let places = taps(session.plan()).map_err(|e| line(e.into()))?;
    if places.is_empty() {
        return Err(vec![format!("{TOO_FEW}: no convolution of at most {WIDEST} channels to tap")]);
    }
    session.tap(&places).map_err(line)?;
    let rows = features(session, entries)?;
    let groups: Vec<u32> = (0..entries.len() as u32).collect();
    let counts: Vec<usize> =
        session.features().map(|f| f.taps().iter().map(|t| 2 * t.channels).collect()).unwrap_or_default();
    let failed = |error: crate::detect::DetectError| vec![format!("OOD detection: {error}")];
    let bins = rows.shares.len() / entries.len();
    let intensity = fit_intensity(&rows.shares, bins, &groups, REFERENCES).map_err(failed)?;
    let layers = fit_mahalanobis(&rows.pooled, &counts, &groups).map_err(failed)?;
    let mut spectra = Vec::new();
    let mut spectrum_scores = vec![0.0; entries.len()];
    for (signatures, count) in rows.signatures.iter().zip(&counts) {
        let fitted =
            fit_spectrum(signatures, SPECTRUM.min(count / 2), &groups, REFERENCES).map_err(failed)?;
        for (total, score) in spectrum_scores.iter_mut().zip(&fitted.held_out) {
            *total += score / counts.len() as f64;
        }
        spectra.push(fitted.detector);
    }
    let held_out = [&intensity.held_out[..], &layers.held_out, &spectrum_scores];
    let verdict = fit_verdict(&held_out, alpha).map_err(failed)?;
    let mut floats = vec![verdict.threshold];
    for scale in &verdict.scales {
        floats.extend([scale.median, scale.spread, scale.threshold]);
    }
    floats.extend(&intensity.detector.references);
    for layer in &layers.detector.layers {
        floats.extend(layer.mean.iter().chain(&layer.deviation).chain(&layer.factor));
    }
    for spectrum in &spectra {
        floats.extend(&spectrum.references);
    }
    let shape = Shape {
        bins,
        references: intensity.detector.references.len() / bins,
        spectra: spectra.first().map_or(0, |s| s.references.len() / s.channels),
        alpha,
    };
    let section = section(&shape, &places, &rows.extents, &floats);
    let steps: Vec<usize> = places.iter().map(|place| place.step).collect();
    let lines = vec![format!(
        "OOD detection: {} over steps {steps:?}, stated false-alarm rate {alpha}, {} frames",
        DETECTORS.join(", "),
        entries.len()
    )];
    let summary =
        json!({ "taps": steps, "alpha": alpha, "frames": entries.len(), "threshold": verdict.threshold });
    Ok(Fitted { section, lines, summary })
}

/// Counts that the section states before its floats.
struct Shape {
    bins: usize,
    references: usize,
    spectra: usize,
    alpha: f64,
}

/// The section's bytes, laid out as `candor::ood::profile` reads them.
fn section(shape: &Shape, places: &[TapPlace], extents: &[[usize; 2]], floats: &[f64]) -> Vec<u8> {
    let range = |axis: usize| {
        let own = extents.iter().map(|e| e[axis] as u32);
        [own.clone().min().unwrap_or(0), own.max().unwrap_or(0)]
    };
    let mut words = [0u32; HEADER_WORDS];
    words[..11].copy_from_slice(&[
        1,
        (shape.bins / 64) as u32,
        shape.references as u32,
        places.len() as u32,
        SPECTRUM as u32,
        shape.spectra as u32,
        range(0)[0],
        range(0)[1],
        range(1)[0],
        range(1)[1],
        (shape.alpha as f32).to_bits(),
    ]);
    for (word, &place) in words[16..].iter_mut().zip(places) {
        *word = tap_word(place);
    }
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    bytes.extend(floats.iter().flat_map(|f| f.to_le_bytes()));
    bytes
}

/// Up to [`TAPS`] convolution outputs of the encoder: the last of each size that has no more than [`WIDEST`]
/// channels, down to the smallest; of so many of their rows that at least [`PIXELS`] are looked at.
///
/// The encoder sees texture before the network has decided what matters; its channels are dense, so that
/// moments over a frame are steady. The decoder's sparse channels are silent on most frames, and one that
/// wakes looks foreign.
fn taps(plan: &Plan<'_>) -> Result<Vec<TapPlace>, candor_core::plan::PlanError> {
    let mut candidates: Vec<(TapPlace, usize)> = Vec::new();
    for index in 0..plan.steps() {
        let step = plan.step(index)?;
        let layout = plan.tensor(step.output)?.layout;
        let convolution = matches!(step.op, Op::Convolution(_) | Op::Depthwise(_));
        let pixels = layout.height * layout.width;
        if convolution && layout.element == Element::Code && layout.channels <= WIDEST && pixels > 1 {
            let every = (pixels / PIXELS).clamp(1, EVERY_LIMIT);
            candidates.push((TapPlace { step: index, every, spectrum: SPECTRUM }, pixels));
        }
    }
    let smallest = candidates.iter().map(|&(_, pixels)| pixels).min();
    let bottleneck = candidates.iter().position(|&(_, pixels)| Some(pixels) == smallest);
    candidates.truncate(bottleneck.map_or(0, |position| position + 1));
    let last = |at: usize| candidates.get(at + 1).is_none_or(|next| next.1 != candidates[at].1);
    let places: Vec<TapPlace> =
        (0..candidates.len()).filter(|&at| last(at)).map(|at| candidates[at].0).collect();
    let kept = places.len().min(TAPS);
    let at = |i: usize| if kept == 1 { 0 } else { i * (places.len() - 1) / (kept - 1) };
    Ok((0..kept).map(|i| places[at(i)]).collect())
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
        rows.signatures.resize(features.taps().len(), Vec::new());
        for ((tap, gram), list) in features.taps().iter().zip(&features.grams()).zip(&mut rows.signatures) {
            let start = list.len();
            list.resize(start + tap.spectrum(), 0.0);
            let mut matrix = vec![0.0; gram.len()];
            spectral_signature(gram, Normalisation::MeanLog, &mut matrix, &mut list[start..])
                .map_err(failed)?;
        }
    }
    Ok(rows)
}
