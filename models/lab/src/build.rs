//! The whole way from a network and a folder of frames to the bytes of a package.

mod calibration;
mod ood;
mod ranges;

use crate::dataset::{self, Entry, Split};
use crate::lower::{self, Ending, Lowered};
use crate::network::Network;
use crate::pack::writer::Sections;
use crate::pack::{self, Description};
use crate::quantize::qdq;
use candor::{Package, Session, SessionOptions};
use candor_core::arithmetic::Multiplier;
use candor_core::package::{ChannelOrder, Geometry, Normalize, Preprocess, Section};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Name of the model.
    pub name: String,
    /// Where it came from, plain text.
    pub source: String,
    /// Model card, Markdown.
    pub card: String,
    /// Class names; generated when empty.
    pub classes: Vec<String>,
    /// How sample values become network inputs.
    pub normalize: Normalize,
    /// How frames of another size meet the model's.
    pub geometry: Geometry,
    /// Representative frames.
    pub images: Option<PathBuf>,
    /// Their masks.
    pub masks: Option<PathBuf>,
    /// Which half of them.
    pub split: Split,
    /// File listing the frame names to use.
    pub only: Option<PathBuf>,
    /// Stated false-alarm rate of the OOD verdict.
    pub alpha: f64,
    /// What becomes of the network's ending.
    pub ending: Ending,
}

/// A finished package.
#[derive(Debug, Clone)]
pub struct Built {
    /// The file.
    pub bytes: Vec<u8>,
    /// What was decided, for people.
    pub lines: Vec<String>,
    /// What was decided, as JSON.
    pub summary: Value,
}

/// Zero mean, unit deviation per image, deviation floor 1e-6 sample units.
pub const fn standardize() -> Normalize {
    Normalize::Standardize { epsilon: Multiplier::new(1e-6) }
}

/// 0..1 of full scale.
pub const fn unit() -> Normalize {
    Normalize::Affine { slope: [Multiplier::new(1.0); 3], offset: [Multiplier::new(0.0); 3] }
}

/// ImageNet statistics of 0..1 values (Deng et al. 2009, as torchvision states them).
pub fn imagenet() -> Normalize {
    let (mean, deviation) = ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225]);
    Normalize::Affine {
        slope: deviation.map(|d| Multiplier::new(1.0 / d)),
        offset: [0, 1, 2].map(|c| Multiplier::new(-mean[c] / deviation[c])),
    }
}

/// Builds a package.
///
/// # Errors
/// All problems found at the stage that failed, one line each.
pub fn build(network: &Network, options: &BuildOptions) -> Result<Built, Vec<String>> {
    let entries = match &options.images {
        None => Vec::new(),
        Some(images) => {
            dataset::list(images, options.masks.as_deref(), options.split, options.only.as_deref())?
        }
    };
    let listed =
        |problems: Vec<crate::onnx::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let preprocess = preprocess(network, options)?;
    let mut lines = Vec::new();
    let mut summary = json!({ "frames": entries.len() });
    let lowered = if qdq::is_quantized(network) {
        let quantized = qdq::annotate(network).map_err(listed)?;
        lines.push("quantization: as the file states it (QDQ)".to_string());
        summary["quantization"] = json!({ "method": "QDQ" });
        lower::lower(&quantized, options.ending).map_err(listed)?
    } else {
        let chosen = ranges::choose(network, &entries, preprocess, options)?;
        lines.extend(chosen.lines);
        summary["quantization"] = chosen.summary;
        chosen.lowered
    };
    let mut sections = sections(network, &lowered, preprocess, options)?;
    if !entries.is_empty() && options.ending == Ending::Logits {
        fit(&mut sections, &entries, options, &mut lines, &mut summary)?;
    }
    Ok(Built { bytes: sections.to_bytes(), lines, summary })
}

/// How frames become codes, from the input's channels and the options.
fn preprocess(network: &Network, options: &BuildOptions) -> Result<Preprocess, Vec<String>> {
    let Some(&input) = network.inputs.first() else { return Err(vec!["the model has no input".into()]) };
    let shape = &network.values[input].shape;
    if let Geometry::Tile { overlap } = options.geometry {
        let most = shape.iter().skip(2).min().map_or(0, |&extent| extent * 3 / 4);
        if overlap > most || !overlap.is_multiple_of(2) {
            let what = format!("--overlap {overlap}: give an even number of at most {most}");
            return Err(vec![format!("{what}, three quarters of the model's shorter side")]);
        }
    }
    let order = if shape.get(1) == Some(&3) { ChannelOrder::Rgb } else { ChannelOrder::Gray };
    Ok(Preprocess { geometry: options.geometry, order, normalize: options.normalize })
}

/// The uncalibrated package with its golden vector.
fn sections(
    network: &Network,
    lowered: &Lowered,
    preprocess: Preprocess,
    options: &BuildOptions,
) -> Result<Sections, Vec<String>> {
    let classes = match lowered.head.activation {
        candor_core::package::Activation::Sigmoid => 2,
        candor_core::package::Activation::Softmax => lowered.head.channels,
    };
    let names = match options.classes.len() {
        0 if classes == 2 => vec!["background".to_string(), "foreground".to_string()],
        0 => (0..classes).map(|class| format!("class {class}")).collect(),
        n if n == classes => options.classes.clone(),
        n => return Err(vec![format!("--classes names {n} classes but the model has {classes}")]),
    };
    let description = Description {
        name: if options.name.is_empty() { network.name.clone() } else { options.name.clone() },
        source: options.source.clone(),
        preprocess,
        classes: names,
        card: options.card.clone(),
    };
    let mut sections = pack::sections(lowered, &description);
    let refused = |error: candor::Error| vec![format!("the new package is refused: {error}")];
    let package = Package::load(&sections.to_bytes()).map_err(refused)?;
    let session_options = SessionOptions { threads: 2, ..Default::default() };
    let mut session = Session::new(&package, &session_options).map_err(refused)?;
    sections.set(Section::Golden, pack::golden_section(&mut session).map_err(refused)?);
    Ok(sections)
}

/// Fits calibration and OOD detection on the quantized model's own outputs.
fn fit(
    sections: &mut Sections,
    entries: &[Entry],
    options: &BuildOptions,
    lines: &mut Vec<String>,
    summary: &mut Value,
) -> Result<(), Vec<String>> {
    let one = |error: candor::Error| vec![error.to_string()];
    let package = Package::load(&sections.to_bytes()).map_err(one)?;
    let session_options = SessionOptions { threads: 2, keep_output: true, ..Default::default() };
    let mut session = Session::new(&package, &session_options).map_err(one)?;
    if options.masks.is_some() {
        let fitted = calibration::fit(&mut session, entries)?;
        sections.set(Section::Calibration, fitted.section);
        lines.extend(fitted.lines);
        summary["calibration"] = fitted.summary;
    }
    match ood::fit(&mut session, entries, options.alpha) {
        Ok(fitted) => {
            sections.set(Section::Ood, fitted.section);
            lines.extend(fitted.lines);
            summary["ood"] = fitted.summary;
        }
        Err(problems) if problems.iter().any(|p| p.starts_with(ood::TOO_FEW)) => {
            lines.push(format!("no OOD profile: {}", problems.join("; ")));
        }
        Err(problems) => return Err(problems),
    }
    Ok(())
}

/// A fitted section and what to say about it.
struct Fitted {
    section: Vec<u8>,
    lines: Vec<String>,
    summary: Value,
}
