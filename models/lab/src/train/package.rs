//! From a trained network to package bytes and card: phantom frames on disk, the common builder, figures.

use super::config::{FrameConfig, PHANTOM_CLASSES, TrainConfig};
use super::evaluate::{Figures, evaluate};
use super::source::PhantomSource;
use super::{TrainError, card};
use crate::build::{self, BuildOptions, Built};
use crate::dataset::Split;
use crate::lower::Ending;
use crate::nets::{Model, export};
use crate::pack::writer::Sections;
use candor::Package;
use candor_core::package::{Geometry, Section};
use candor_imaging::{palette, write};
use rayon::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A package, its card and what was measured.
#[derive(Debug)]
pub struct Packaged<F> {
    /// The package, card included.
    pub bytes: Vec<u8>,
    /// The card, Markdown.
    pub card: String,
    /// The report, HTML, of folders.
    pub report: Option<String>,
    /// Figures on frames that nothing was fitted on.
    pub figures: F,
    /// What the builder decided, for people.
    pub lines: Vec<String>,
    /// What the builder decided, as JSON.
    pub summary: Value,
}

/// Quantizes, calibrates, fits OOD detection on the calibration stream and measures on the held-out one.
///
/// # Errors
/// All problems of the stage that failed.
pub fn make_package(config: &TrainConfig, model: &Model) -> Result<Packaged<Figures>, TrainError> {
    let Some(frames) = &config.frames else {
        return Err(TrainError::Invalid(vec!["the configuration has no [frames]".into()]));
    };
    let folder = tempfile::tempdir().map_err(|error| TrainError::Invalid(vec![error.to_string()]))?;
    let (images, masks) = write_frames(frames, config.package.calibration_frames, folder.path())?;
    let last = model.graph().outputs.len() - 1;
    let exported = export(model, last, &config.name, [frames.height, frames.width])?;
    let options = BuildOptions {
        name: config.name.clone(),
        source: card::source(config, frames),
        card: String::new(),
        classes: config.classes(),
        normalize: build::unit(),
        geometry: Geometry::Resize,
        images: Some(images),
        masks: Some(masks),
        split: Split::All,
        only: None,
        alpha: config.package.alpha,
        ending: Ending::Logits,
    };
    let Built { bytes, lines, summary } = build::build(&exported, &options).map_err(TrainError::Invalid)?;
    let figures = evaluate(frames, config.package.held_out_frames, model, &bytes)?;
    let card = card::render(config, frames, &figures, bytes.len());
    let bytes = with_card(&Package::load(&bytes)?, &card)?;
    Ok(Packaged { bytes, card, report: None, figures, lines, summary })
}

/// The bytes of `package` with `card` in it.
pub(super) fn with_card(package: &Package, card: &str) -> Result<Vec<u8>, TrainError> {
    let mut sections = Sections::of(&package.view()?).map_err(candor::Error::from)?;
    sections.set(Section::Card, card.as_bytes().to_vec());
    Ok(sections.to_bytes())
}

/// The calibration stream as 8-bit PNG, the samples unchanged: what the builder reads is what a device is
/// given.
fn write_frames(frames: &FrameConfig, count: usize, folder: &Path) -> Result<(PathBuf, PathBuf), TrainError> {
    let failed = |error: String| TrainError::Invalid(vec![error]);
    let (images, masks) = (folder.join("images"), folder.join("masks"));
    for own in [&images, &masks] {
        std::fs::create_dir(own).map_err(|error| failed(format!("{}: {error}", own.display())))?;
    }
    let phantom = PhantomSource::new(frames.phantom(), frames.seed.wrapping_add(1))?;
    let colours = palette::class_colours(PHANTOM_CLASSES);
    let written: Result<Vec<()>, TrainError> = (0..count as u64)
        .into_par_iter()
        .map(|index| {
            let (frame, labels) = phantom.frame(index);
            let name = format!("{index:05}.png");
            write::frame_png(&images.join(&name), &frame).map_err(|error| failed(error.to_string()))?;
            write::mask_png(&masks.join(&name), &labels, &colours).map_err(|error| failed(error.to_string()))
        })
        .collect();
    written?;
    Ok((images, masks))
}
