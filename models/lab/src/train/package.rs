//! From a trained network to package bytes and card: phantom frames on disk, the common builder, figures.

use super::config::TrainConfig;
use super::evaluate::{Figures, evaluate};
use super::export::export;
use super::trainer::{phantom, render};
use super::unet::UNet;
use super::{TrainError, card};
use crate::build::{self, BuildOptions, Built};
use crate::dataset::Split;
use crate::lower::Ending;
use crate::pack::writer::Sections;
use candor::Package;
use candor_core::package::{Geometry, Section};
use candor_imaging::phantom::CLASS_NAMES;
use candor_imaging::{palette, write};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A package, its card and what was measured.
#[derive(Debug, Clone)]
pub struct Packaged {
    /// The package, card included.
    pub bytes: Vec<u8>,
    /// The card, Markdown.
    pub card: String,
    /// Figures on held-out frames.
    pub figures: Figures,
    /// What the builder decided, for people.
    pub lines: Vec<String>,
    /// What the builder decided, as JSON.
    pub summary: Value,
}

/// Quantizes, calibrates, fits OOD detection on the calibration stream and measures on the held-out one.
///
/// # Errors
/// All problems of the stage that failed.
pub fn make_package(config: &TrainConfig, network: &UNet) -> Result<Packaged, TrainError> {
    let folder = tempfile::tempdir().map_err(|error| TrainError::Invalid(vec![error.to_string()]))?;
    let (images, masks) = write_frames(config, folder.path())?;
    let exported = export(network, &config.name, [config.frames.height, config.frames.width])?;
    let options = BuildOptions {
        name: config.name.clone(),
        source: card::source(config),
        card: String::new(),
        classes: CLASS_NAMES.iter().take(super::CLASSES).map(ToString::to_string).collect(),
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
    let figures = evaluate(config, network, &bytes)?;
    let card = card::render(config, &figures, bytes.len());
    let package = Package::load(&bytes)?;
    let mut sections = Sections::of(&package.view()?).map_err(candor::Error::from)?;
    sections.set(Section::Card, card.clone().into_bytes());
    Ok(Packaged { bytes: sections.to_bytes(), card, figures, lines, summary })
}

/// The calibration stream as 8-bit PNG, the samples unchanged: what the builder reads is what a device is
/// given.
fn write_frames(config: &TrainConfig, folder: &Path) -> Result<(PathBuf, PathBuf), TrainError> {
    let failed = |error: String| TrainError::Invalid(vec![error]);
    let (images, masks) = (folder.join("images"), folder.join("masks"));
    for own in [&images, &masks] {
        std::fs::create_dir(own).map_err(|error| failed(format!("{}: {error}", own.display())))?;
    }
    let phantom = phantom(config, 1)?;
    let colours = palette::class_colours(super::CLASSES);
    let count = config.package.calibration_frames as u64;
    for start in (0..count).step_by(8) {
        let indices = start..(start + 8).min(count);
        for (index, (frame, labels)) in indices.clone().zip(render(&phantom, indices)) {
            let name = format!("{index:05}.png");
            write::frame_png(&images.join(&name), &frame).map_err(|error| failed(error.to_string()))?;
            write::mask_png(&masks.join(&name), &labels, &colours)
                .map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok((images, masks))
}
