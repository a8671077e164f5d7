//! Published experiments repeated at a small size: paired runs over seeds, and a verdict per claim.
//!
//! A [`Study`] lists its [`Job`]s; each trains something and gives [`Record`]s. Runs that share a seed see
//! the same data in the same order and, where their networks agree, start from the same weights, so that
//! arms are compared within seeds. Jobs depend on nothing but their name and the [`Size`]: they may run in
//! any order, on any number of threads, and resume.

mod claim;
mod classifier;
mod losses;
mod material;
mod multitask;
mod nodules;
mod plateau;
mod plot;
mod report;
mod rotation;
mod segmenter;
mod spectral;

#[cfg(test)]
mod tests;

pub use claim::{Claim, Judgement, Relation, Verdict, judge};
pub use losses::{dice_plus_plus, margin_smoothing, recipes};
pub use multitask::Multitask;
pub use nodules::Nodules;
pub use plateau::Plateau;
pub use plot::svg;
pub use report::{csv, markdown};
pub use rotation::Rotation;
pub use spectral::Spectral;

use crate::train::TrainError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

/// How much is trained and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// Paired runs.
    pub seeds: u64,
    /// Updates per network.
    pub steps: usize,
    /// Training images of phantoms.
    pub training: u64,
    /// Images that temperatures are fitted on.
    pub validation: u64,
    /// Images that figures are measured on.
    pub test: u64,
    /// Folder with `cardiac-mr` and `ultrasound`, `images` and `masks` in each, for the studies that use real
    /// images.
    pub data: Option<PathBuf>,
}

impl Size {
    /// Twelve pairs; what the committed results were made with.
    #[must_use]
    pub const fn full(data: Option<PathBuf>) -> Self {
        Self { seeds: 12, steps: 300, training: 40, validation: 30, test: 80, data }
    }

    /// Two pairs of hardly trained networks: shows that the study runs, and decides nothing.
    #[must_use]
    pub const fn quick(data: Option<PathBuf>) -> Self {
        Self { seeds: 2, steps: 6, training: 8, validation: 6, test: 8, data }
    }
}

/// One unit of work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Job {
    /// What it is measured on.
    pub group: String,
    /// What is compared.
    pub arm: String,
    /// Which pair.
    pub seed: u64,
}

/// Figures of one arm; arms of one group and seed are a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it was measured on.
    pub group: String,
    /// What was done.
    pub arm: String,
    /// Which pair.
    pub seed: u64,
    /// What was found.
    pub figures: Figures,
}

/// A finished job, one line of the file a run resumes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was run.
    pub job: Job,
    /// How long it took, in seconds of one thread.
    pub seconds: f64,
    /// What was found.
    pub records: Vec<Record>,
}

/// A paired experiment.
pub trait Study: Sync {
    /// What it repeats, one sentence with its source.
    fn title(&self) -> &'static str;

    /// Everything to run.
    fn jobs(&self) -> Vec<Job>;

    /// Runs one job.
    ///
    /// # Errors
    /// Data that cannot be read, training that diverged.
    fn run(&self, job: &Job) -> Result<Vec<Record>, TrainError>;

    /// What is to be decided.
    fn claims(&self) -> Vec<Claim>;

    /// The figures that tables show, in their order.
    fn columns(&self) -> Vec<&'static str>;
}

/// All jobs of `arms` on `groups`, seeds outermost so that an interrupted run has whole pairs.
fn every(groups: &[&str], arms: &[String], seeds: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for seed in 0..seeds {
        for group in groups {
            let own = arms.iter().map(|arm| Job { group: (*group).to_string(), arm: arm.clone(), seed });
            jobs.extend(own);
        }
    }
    jobs
}
