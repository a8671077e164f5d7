//! The configuration of a training run: one TOML file, checked whole before any work.

use super::augment::Augmentation;
use super::folder::DataConfig;
use super::recipe;
use super::schedule::Schedule;
use crate::losses::Loss;
use crate::nets::Norm;
use candor_imaging::phantom::{self, CLASS_NAMES};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Classes of the phantom: background, lung, nodule.
pub const PHANTOM_CLASSES: usize = 3;

/// A training run; see `models/lab/phantom.toml` and `models/lab/ultrasound.toml` for every key with its
/// meaning.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the model.
    pub name: String,
    /// What the network is.
    pub network: NetworkConfig,
    /// Phantom frames to train on; or `data`.
    #[serde(default)]
    pub frames: Option<FrameConfig>,
    /// Folders of images and masks to train on; or `frames`.
    #[serde(default)]
    pub data: Option<DataConfig>,
    /// How it is trained.
    pub training: TrainingConfig,
    /// What is lowered.
    #[serde(default = "recipe::loss")]
    pub loss: Loss,
    /// How samples are varied; an empty table leaves them as they are.
    #[serde(default = "recipe::augmentation")]
    pub augmentation: Augmentation,
    /// What is made of it.
    pub package: PackageConfig,
}

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// [`crate::nets::unet`]
    #[default]
    Unet,
    /// [`crate::nets::wnet`]
    Wnet,
    /// [`crate::nets::mobile_unet`]
    Mobile,
}

/// The network and its size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Which network.
    #[serde(default)]
    pub kind: NetworkKind,
    /// Times the image is halved, 1..=5.
    pub depth: usize,
    /// Channels at full resolution, 1..=64; doubled at every halving.
    pub channels: usize,
    /// Between the convolutions; mobile networks always have batch norm.
    #[serde(default)]
    pub norm: Norm,
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

/// Adam (Kingma & Ba 2015) under a schedule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Updates, 1..=1,000,000.
    pub steps: usize,
    /// Frames per update, 1..=64.
    pub batch: usize,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Seed of the initial weights and of augmentation.
    pub seed: u64,
    /// How the learning rate falls.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps over which the learning rate first rises.
    #[serde(default)]
    pub warm_up: usize,
    /// Share of the moving average of the weights that stays at each step (Polyak & Juditsky 1992), 0 for
    /// none.
    #[serde(default = "average")]
    pub average: f64,
    /// Checks of the validation loss without a new best after which training stops, 0 for never.
    #[serde(default)]
    pub patience: usize,
    /// Steps between those checks.
    #[serde(default = "hundred")]
    pub check_every: usize,
    /// Last steps in which the network sees the rounding of int8 inference, 0 for none; before them the
    /// ranges of its activations and the statistics of its batch norms are fixed.
    #[serde(default)]
    pub quantized_steps: usize,
}

const fn average() -> f64 {
    recipe::AVERAGE
}

const fn hundred() -> usize {
    100
}

/// The package made of the trained network; paths are relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageConfig {
    /// Phantom frames for activation ranges, calibration and OOD detection.
    #[serde(default)]
    pub calibration_frames: usize,
    /// Phantom frames on which the card's figures are measured.
    #[serde(default)]
    pub held_out_frames: usize,
    /// Stated false-alarm rate of the OOD verdict.
    pub alpha: f64,
    /// Float weights and optimiser state, safetensors; training resumes from it.
    pub checkpoint: PathBuf,
    /// Package to write.
    pub package: PathBuf,
    /// Model card to write.
    pub card: PathBuf,
    /// HTML report to write, of folders only.
    #[serde(default)]
    pub report: Option<PathBuf>,
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
        for target in
            [&mut own.checkpoint, &mut own.package, &mut own.card].into_iter().chain(&mut own.report)
        {
            *target = folder.join(&*target);
        }
        if let Some(data) = &mut config.data {
            for source in [&mut data.images, &mut data.masks] {
                *source = folder.join(&*source);
            }
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
            ("training.check_every", self.training.check_every, 1, 1_000_000),
        ];
        let own = [
            ("package.calibration_frames", self.package.calibration_frames, 8, 10_000),
            ("package.held_out_frames", self.package.held_out_frames, 1, 10_000),
        ];
        let phantom_counts = own.iter().filter(|_| self.frames.is_some());
        for &(key, value, low, high) in counts.iter().chain(phantom_counts) {
            if !(low..=high).contains(&value) {
                problems.push(format!("{key} is {value}: it must lie within {low}..={high}"));
            }
        }
        let (last, steps) = (self.training.quantized_steps, self.training.steps);
        if last > steps {
            problems.push(format!("training.quantized_steps is {last}: there are only {steps} steps"));
        }
        let rate = self.training.learning_rate;
        if !(rate > 0.0 && rate <= 1.0) {
            problems.push(format!("training.learning_rate is {rate}: it must be above 0 and at most 1"));
        }
        let average = self.training.average;
        if !(0.0..1.0).contains(&average) {
            problems.push(format!("training.average is {average}: it must be at least 0 and below 1"));
        }
        let alpha = self.package.alpha;
        if !(alpha > 0.0 && alpha < 1.0) {
            problems.push(format!("package.alpha is {alpha}: it must lie between 0 and 1"));
        }
        problems.extend(self.loss.problems());
        problems.extend(self.augmentation.problems());
        match (&self.frames, &self.data) {
            (Some(frames), None) => {
                if let Err(error) = phantom::Phantom::new(frames.phantom(), frames.seed) {
                    problems.extend(error.problems().iter().map(|problem| format!("frames: {problem}")));
                }
                self.check_sides("frames", [frames.height, frames.width], &mut problems);
            }
            (None, Some(data)) => {
                problems.extend(data.problems());
                self.check_sides("data", [data.height, data.width], &mut problems);
            }
            _ => problems.push("give either [frames] (phantoms) or [data] (folders)".into()),
        }
        problems
    }

    fn check_sides(&self, table: &str, [height, width]: [usize; 2], problems: &mut Vec<String>) {
        let multiple = 1usize << self.network.depth.min(5);
        for (key, side) in [("width", width), ("height", height)] {
            if !side.is_multiple_of(multiple) || !(1..=1024).contains(&side) {
                let what =
                    format!("{table}.{key} is {side}: it must be a multiple of {multiple} of at most 1024");
                problems.push(what);
            }
        }
    }

    /// Names of the classes, background first.
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        match &self.data {
            Some(data) => data.classes.clone(),
            None => CLASS_NAMES.iter().take(PHANTOM_CLASSES).map(ToString::to_string).collect(),
        }
    }
}

impl FrameConfig {
    /// The phantom's configuration.
    #[must_use]
    pub fn phantom(&self) -> phantom::Config {
        phantom::Config { width: self.width, height: self.height, ..Default::default() }
    }
}
