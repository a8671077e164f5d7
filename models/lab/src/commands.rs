//! The verbs of `candor-lab`, one file each, and what they share: failures and model loading.

pub mod check;
pub mod drift;
pub mod evaluate;
pub mod pack;
pub mod reproduce;
pub mod train;

use candor_lab::network::{Coordinates, Network};
use candor_lab::onnx::{self, ImportOptions};
use clap::{Args, ValueEnum};
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

/// A failure that ends a command: its lines and its exit code (2 usage, 3 invalid model or input).
#[derive(Debug)]
pub struct Failure {
    code: u8,
    lines: Vec<String>,
}

impl Failure {
    /// An invalid model, package or input.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: 3, lines: vec![message.into()] }
    }

    /// Several problems of one file, all listed.
    pub fn problems(path: &std::path::Path, problems: impl Iterator<Item = String>) -> Self {
        let mut lines: Vec<String> = problems.collect();
        let what = if lines.len() == 1 { "problem" } else { "problems" };
        lines.insert(0, format!("{}: {} {what}", path.display(), lines.len()));
        Self { code: 3, lines }
    }

    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, lines: vec![message.into()] }
    }

    /// The process exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.lines.join("\n  "))
    }
}

impl From<candor::Error> for Failure {
    fn from(error: candor::Error) -> Self {
        Self::invalid(error.to_string())
    }
}

/// Coordinates of linear resizing in files that cannot state them (operator set below 11).
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ResizeCoordinates {
    /// x / scale, as ONNX Runtime does
    Asymmetric,
    /// (x + 0.5) / scale − 0.5, as PyTorch computed when it exported such files
    HalfPixel,
}

/// How to read an ONNX file.
#[derive(Args, Clone, Debug)]
pub struct ModelOptions {
    /// ONNX model, float or QDQ int8
    pub model: PathBuf,
    /// Height and width for models that leave them open, such as 256x256
    #[arg(long)]
    pub input_size: Option<String>,
    /// Coordinates of linear Upsample before operator set 11
    #[arg(long)]
    pub resize_coordinates: Option<ResizeCoordinates>,
    /// Output to keep when the model has several; the first by default
    #[arg(long)]
    pub output: Option<String>,
}

/// A network ready for quantization, with what is worth telling about it.
pub struct Model {
    /// Simplified, one output.
    pub network: Network,
    /// Notes of the import.
    pub notes: Vec<String>,
    /// File bytes' SHA-256, lower-case hexadecimal.
    pub digest: String,
    /// Producer and operator set.
    pub origin: String,
}

impl ModelOptions {
    /// Reads, imports and simplifies the model.
    ///
    /// # Errors
    /// All problems of the file.
    pub fn load(&self) -> Result<Model, Failure> {
        let bytes = std::fs::read(&self.model)
            .map_err(|error| Failure::invalid(format!("{}: {error}", self.model.display())))?;
        let options = ImportOptions {
            input_size: self.input_size.as_deref().map(extent).transpose()?,
            resize_coordinates: self.resize_coordinates.map(|choice| match choice {
                ResizeCoordinates::Asymmetric => Coordinates::Asymmetric,
                ResizeCoordinates::HalfPixel => Coordinates::HalfPixel,
            }),
            ..Default::default()
        };
        let import = onnx::import(&bytes, &options)
            .map_err(|errors| Failure::problems(&self.model, errors.0.iter().map(ToString::to_string)))?;
        let mut notes: Vec<String> =
            import.notes.iter().map(|note| format!("{}: {}", note.node, note.text)).collect();
        let mut network = import.network;
        self.choose_output(&mut network, &mut notes)?;
        onnx::simplify(&mut network);
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        Ok(Model {
            network,
            notes,
            digest: digest.iter().map(|b| format!("{b:02x}")).collect(),
            origin: format!("{}, operator set {}", import.producer, import.opset),
        })
    }

    fn choose_output(&self, network: &mut Network, notes: &mut Vec<String>) -> Result<(), Failure> {
        let names: Vec<String> = network.outputs.iter().map(|&id| network.values[id].name.clone()).collect();
        let chosen = match &self.output {
            None => 0,
            Some(name) => names.iter().position(|own| own == name).ok_or_else(|| {
                Failure::usage(format!("the model has no output '{name}'; it has {}", names.join(", ")))
            })?,
        };
        if names.len() > 1 && self.output.is_none() {
            notes.push(format!("output: kept '{}' of {}; choose with --output", names[0], names.join(", ")));
        }
        if let Some(&output) = network.outputs.get(chosen) {
            network.outputs = vec![output];
        }
        Ok(())
    }
}

/// `HxW` as two extents.
fn extent(text: &str) -> Result<[usize; 2], Failure> {
    let parts = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    match parts {
        Some(extent) if extent.iter().all(|e| (1..=8192).contains(e)) => Ok(extent),
        _ => Err(Failure::usage(format!("--input-size '{text}': write height x width, such as 256x256"))),
    }
}
