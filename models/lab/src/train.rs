//! Training: a small U-Net on generated phantom frames, made into a package with measured figures.

mod adam;
mod card;
mod config;
mod evaluate;
mod export;
mod package;
mod trainer;
mod unet;

#[cfg(test)]
mod tests;

pub use config::{FrameConfig, NetworkConfig, PackageConfig, TrainConfig, TrainingConfig};
pub use evaluate::Figures;
pub use export::export;
pub use package::{Packaged, make_package};
pub use trainer::{CLASSES, Trainer, image};
pub use unet::{UNet, loss};

use std::fmt;

/// Why training or packing failed.
#[derive(Debug)]
pub enum TrainError {
    /// What is wrong with configuration, files or results, one line each.
    Invalid(Vec<String>),
    /// A tensor operation that should not fail, did.
    Tensor(candle_core::Error),
}

impl TrainError {
    /// The problems, one line each.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Invalid(problems) => problems.clone(),
            Self::Tensor(error) => vec![error.to_string()],
        }
    }
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems().join("; "))
    }
}

impl std::error::Error for TrainError {}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

impl From<candor::Error> for TrainError {
    fn from(error: candor::Error) -> Self {
        Self::Invalid(vec![error.to_string()])
    }
}
