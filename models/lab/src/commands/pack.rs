//! `candor-lab pack`: from an ONNX model and images to one package file.

use super::{Failure, ModelOptions};
use candor_lab::build::{self, BuildOptions};
use candor_lab::dataset::Split;
use candor_lab::lower::Ending;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// How frame values become network inputs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NormalizeChoice {
    /// Zero mean and unit deviation per image
    Standardize,
    /// 0..1 of full scale
    Unit,
    /// ImageNet mean and deviation of 0..1 values
    Imagenet,
}

/// How frames of another size meet the model's.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum GeometryChoice {
    /// Resize to the model's extent
    Resize,
    /// Overlapping tiles at the frame's own scale
    Tile,
}

/// Arguments of `pack`.
#[derive(Args)]
pub struct PackArguments {
    #[command(flatten)]
    model: ModelOptions,
    /// Directory of representative frames: activation ranges and OOD detection
    #[arg(long)]
    images: Option<PathBuf>,
    /// Directory of masks with the frames' names: calibration
    #[arg(long, requires = "images")]
    masks: Option<PathBuf>,
    /// Use only the half of the frames whose name hashes to this side, and leave the other for evaluation
    #[arg(long, default_value = "all")]
    split: Split,
    /// Text file of frame names (without extension) to use, one per line
    #[arg(long)]
    only: Option<PathBuf>,
    /// Package to write
    #[arg(short, long)]
    out: PathBuf,
    /// Class names in class order, separated by commas
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// How frame values become network inputs
    #[arg(long, default_value = "standardize")]
    normalize: NormalizeChoice,
    /// How frames of another size meet the model's
    #[arg(long, default_value = "resize")]
    geometry: GeometryChoice,
    /// Pixels that neighbouring tiles share
    #[arg(long, default_value_t = 64)]
    overlap: usize,
    /// Stated false-alarm rate of the OOD verdict, per frame
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Model card to include, Markdown
    #[arg(long)]
    card: Option<PathBuf>,
    /// Keep the network's own ending in codes, for comparing operators with another engine
    #[arg(long, hide = true)]
    keep_ending: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Packs a model.
pub fn pack(arguments: &PackArguments) -> Result<ExitCode, Failure> {
    if !(arguments.alpha > 0.0 && arguments.alpha < 1.0) {
        return Err(Failure::usage(format!("--alpha {}: give a rate between 0 and 1", arguments.alpha)));
    }
    let model = arguments.model.load()?;
    let path = &arguments.model.model;
    let card = match &arguments.card {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))?,
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let options = BuildOptions {
        name,
        source: format!("{file}\nsha256 {}\n{}", model.digest, model.origin),
        card,
        classes: arguments.classes.clone(),
        normalize: match arguments.normalize {
            NormalizeChoice::Standardize => build::standardize(),
            NormalizeChoice::Unit => build::unit(),
            NormalizeChoice::Imagenet => build::imagenet(),
        },
        geometry: match arguments.geometry {
            GeometryChoice::Resize => candor_core::package::Geometry::Resize,
            GeometryChoice::Tile => candor_core::package::Geometry::Tile { overlap: arguments.overlap },
        },
        images: arguments.images.clone(),
        masks: arguments.masks.clone(),
        split: arguments.split,
        only: arguments.only.clone(),
        alpha: arguments.alpha,
        ending: if arguments.keep_ending { Ending::Codes } else { Ending::Logits },
    };
    let built = build::build(&model.network, &options)
        .map_err(|problems| Failure::problems(path, problems.into_iter()))?;
    candor_imaging::write::file(&arguments.out, &built.bytes)
        .map_err(|error| Failure::invalid(error.to_string()))?;
    if arguments.json {
        println!("{:#}", built.summary);
    } else {
        for note in &model.notes {
            println!("note: {note}");
        }
        for line in &built.lines {
            println!("{line}");
        }
        println!("wrote {} ({} bytes)", arguments.out.display(), built.bytes.len());
    }
    Ok(ExitCode::SUCCESS)
}
