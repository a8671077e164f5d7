//! Training: networks on phantoms or on folders, made into packages with measured figures.

mod adam;
mod augment;
mod card;
mod config;
mod evaluate;
mod folder;
mod folder_package;
mod learner;
mod package;
pub mod recipe;
mod schedule;
mod source;
mod trainer;

#[cfg(test)]
mod tests;

pub use augment::Augmentation;
pub use config::{
    FrameConfig, NetworkConfig, NetworkKind, PHANTOM_CLASSES, PackageConfig, TrainConfig, TrainingConfig,
};
pub use evaluate::Figures;
pub use folder::{DataConfig, Part};
pub use folder_package::make_folder_package;
pub use learner::Learner;
pub use package::{Packaged, make_package};
pub use schedule::Schedule;
pub use source::{ListSource, Mixture, PhantomSource, Sample, Source, draw, gray, tensors};
pub use trainer::{Trainer, graph};

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
