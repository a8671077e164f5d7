//! The configuration of a training run: one TOML file, checked whole before any work.

use candor_imaging::phantom;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A training run; see `models/lab/phantom.toml` for every key with its meaning.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the model.
    pub name: String,
    /// What the network is.
    pub network: NetworkConfig,
    /// What it is trained on.
    pub frames: FrameConfig,
    /// How it is trained.
    pub training: TrainingConfig,
    /// What is made of it.
    pub package: PackageConfig,
}

/// The U-Net (Ronneberger et al. 2015).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Times the image is halved, 1..=5.
    pub depth: usize,
    /// Channels at full resolution, 1..=64; doubled at every halving.
    pub channels: usize,
}

/// Phantom frames: every factor but the extent as [`phantom::Config::default`] draws it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameConfig {
    /// Columns, a multiple of 2^depth.
    pub width: usize,
    /// Rows, likewise.
    pub height: usize,
    /// Training frames come from this seed, calibration frames from the next, held-out frames from the one
    /// after.
    pub seed: u64,
}

/// Adam (Kingma & Ba 2015) with a cosine decay to zero.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Updates, 1..=1,000,000.
    pub steps: usize,
    /// Frames per update, 1..=64; every frame is seen once.
    pub batch: usize,
    /// Learning rate of the first step.
    pub learning_rate: f64,
    /// Seed of the initial weights.
    pub seed: u64,
}

/// The package made of the trained network; paths are relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageConfig {
    /// Frames for activation ranges, calibration and OOD detection.
    pub calibration_frames: usize,
    /// Frames on which the card's figures are measured.
    pub held_out_frames: usize,
    /// Stated false-alarm rate of the OOD verdict.
    pub alpha: f64,
    /// Float weights and optimiser state, safetensors; training resumes from it.
    pub checkpoint: PathBuf,
    /// Package to write.
    pub package: PathBuf,
    /// Model card to write.
    pub card: PathBuf,
}

impl TrainConfig {
    /// Reads a configuration; relative paths in it start at the file's directory.
    ///
    /// # Errors
    /// All problems found, each naming the file and the key.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let named = |problem: String| format!("{}: {problem}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| vec![named(error.to_string())])?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| vec![named(error.to_string().trim_end().to_string())])?;
        let problems: Vec<String> = config.problems().into_iter().map(named).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let own = &mut config.package;
        for target in [&mut own.checkpoint, &mut own.package, &mut own.card] {
            *target = folder.join(&*target);
        }
        Ok(config)
    }

    /// Everything that is out of range, one line per key.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let counts = [
            ("network.depth", self.network.depth, 1, 5),
            ("network.channels", self.network.channels, 1, 64),
            ("training.steps", self.training.steps, 1, 1_000_000),
            ("training.batch", self.training.batch, 1, 64),
            ("package.calibration_frames", self.package.calibration_frames, 8, 10_000),
            ("package.held_out_frames", self.package.held_out_frames, 1, 10_000),
        ];
        for (key, value, low, high) in counts {
            if !(low..=high).contains(&value) {
                problems.push(format!("{key} is {value}: it must lie within {low}..={high}"));
            }
        }
        let rate = self.training.learning_rate;
        if !(rate > 0.0 && rate <= 1.0) {
            problems.push(format!("training.learning_rate is {rate}: it must be above 0 and at most 1"));
        }
        let alpha = self.package.alpha;
        if !(alpha > 0.0 && alpha < 1.0) {
            problems.push(format!("package.alpha is {alpha}: it must lie between 0 and 1"));
        }
        if let Err(error) = phantom::Phantom::new(self.phantom(), self.frames.seed) {
            problems.extend(error.problems().iter().map(|problem| format!("frames: {problem}")));
        }
        let multiple = 1usize << self.network.depth.min(5);
        for (key, side) in [("frames.width", self.frames.width), ("frames.height", self.frames.height)] {
            if !side.is_multiple_of(multiple) || side > 1024 {
                problems
                    .push(format!("{key} is {side}: it must be a multiple of {multiple} of at most 1024"));
            }
        }
        problems
    }

    /// The phantom's configuration.
    pub fn phantom(&self) -> phantom::Config {
        phantom::Config { width: self.frames.width, height: self.frames.height, ..Default::default() }
    }
}
