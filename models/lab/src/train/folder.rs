//! Folders of the user's own images and masks as training, calibration and test sets.

use super::TrainError;
use super::source::Sample;
use crate::build;
use crate::dataset::{Entry, Split, hash, list, view};
use candor::geometry::nearest;
use candor::preprocess::Preprocessor;
use candor_core::arithmetic::Scale;
use candor_core::package::{ChannelOrder, Geometry, Preprocess};
use candor_core::tensor::{Element, Halo, Layout};
use rayon::prelude::*;
use serde::Deserialize;
use std::path::PathBuf;

/// Hash values of a group: 0 is the test set's, 1 the calibration set's, the rest the training set's.
const SHARES: u64 = 5;

/// Images, masks and how they are used; paths are relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folder of frames.
    pub images: PathBuf,
    /// Folder of masks with the frames' names, PNG: class values, or 0 and 255 for two classes.
    pub masks: PathBuf,
    /// Names of the classes, background first.
    pub classes: Vec<String>,
    /// Columns of the network's input; frames are resized, masks by the nearest pixel.
    pub width: usize,
    /// Rows likewise.
    pub height: usize,
    /// 1 for gray, 3 for colour.
    #[serde(default = "gray")]
    pub channels: usize,
    /// Leading characters of a name that say which exam it is of, 0 for the whole name: an exam is only
    /// ever in one of the sets.
    #[serde(default)]
    pub group: usize,
}

const fn gray() -> usize {
    1
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Three fifths: weights.
    Train,
    /// A fifth: early stopping, activation ranges, calibration, OOD detection.
    Calibration,
    /// A fifth: figures.
    Test,
}

impl DataConfig {
    /// Settings out of range, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(2..=64).contains(&self.classes.len()) {
            problems.push(format!(
                "data.classes names {}: 2..=64 are needed, background first",
                self.classes.len()
            ));
        }
        if !matches!(self.channels, 1 | 3) {
            problems.push(format!("data.channels is {}: it must be 1 (gray) or 3 (colour)", self.channels));
        }
        problems
    }

    /// The part of the frame called `name`: the 64-bit FNV-1a hash of its group, modulo five.
    #[must_use]
    pub fn part(&self, name: &str) -> Part {
        let group = if self.group == 0 { name } else { name.get(..self.group).unwrap_or(name) };
        match hash(group) % SHARES {
            0 => Part::Test,
            1 => Part::Calibration,
            _ => Part::Train,
        }
    }

    /// Frames of `part` in the order of their names.
    ///
    /// # Errors
    /// One line per unreadable entry or missing mask; no frame in that part.
    pub fn entries(&self, part: Part) -> Result<Vec<Entry>, TrainError> {
        let all = list(&self.images, Some(&self.masks), Split::All, None).map_err(TrainError::Invalid)?;
        let own: Vec<Entry> = all.into_iter().filter(|entry| self.part(&entry.name) == part).collect();
        if own.is_empty() {
            let what = format!("{}: no frame falls into the {part:?} set", self.images.display());
            return Err(TrainError::Invalid(vec![format!("{what}; give more frames or another data.group")]));
        }
        Ok(own)
    }

    /// Channels, rows, columns of a sample.
    #[must_use]
    pub const fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Frames of `part` as the device's preprocessing gives them to the network.
    ///
    /// # Errors
    /// Every frame or mask that cannot be used, one line each.
    pub fn samples(&self, part: Part) -> Result<Vec<Sample>, TrainError> {
        let read: Vec<Result<Sample, String>> =
            self.entries(part)?.par_iter().map(|entry| self.sample(entry)).collect();
        let problems: Vec<String> = read.iter().filter_map(|sample| sample.as_ref().err().cloned()).collect();
        if problems.is_empty() {
            Ok(read.into_iter().flatten().collect())
        } else {
            Err(TrainError::Invalid(problems))
        }
    }

    fn sample(&self, entry: &Entry) -> Result<Sample, String> {
        let frame = entry.frame()?;
        let own = view(&frame).ok_or_else(|| format!("{}: not a picture", entry.image.display()))?;
        let order = if self.channels == 3 { ChannelOrder::Rgb } else { ChannelOrder::Gray };
        let settings = Preprocess { geometry: Geometry::Resize, order, normalize: build::unit() };
        let layout = Layout::packed(self.height, self.width, self.channels, Halo::default(), Element::Code);
        let mut preprocessor = Preprocessor::new(settings, layout, Scale::new(1.0), 0)
            .map_err(|error| format!("{}: {error}", entry.image.display()))?;
        preprocessor.take(&own);
        let image = preprocessor.reals(&own, [0, 0]);
        let labels = entry.labels(&frame, self.classes.len())?;
        let mut resized = Vec::with_capacity(self.height * self.width);
        for y in 0..self.height {
            let row = nearest(y, self.height, frame.height()) * frame.width();
            resized.extend((0..self.width).map(|x| labels[row + nearest(x, self.width, frame.width())]));
        }
        Ok(Sample { image, labels: resized })
    }
}
