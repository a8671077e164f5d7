//! Masks and confidence of a stream as files, named by frame number alone.

use crate::exit::Failure;
use candor::stream::Report;
use candor_imaging::labels::Labels;
use candor_imaging::palette::{self, Rgb};
use candor_imaging::write;
use std::path::{Path, PathBuf};

/// The folder they go to, if any.
pub struct Results {
    folder: Option<PathBuf>,
    colours: Vec<Rgb>,
    /// Whether a failure was told already.
    failed: bool,
}

impl Results {
    /// In `folder`, which is made.
    ///
    /// # Errors
    /// Exit code 3 when it cannot be made.
    pub fn open(folder: Option<&Path>, classes: usize) -> Result<Self, Failure> {
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(|error| {
                let fix = "fix: give --out a folder that can be made";
                Failure::invalid(format!("{}: {error}; {fix}", folder.display()))
            })?;
        }
        Ok(Self { folder: folder.map(Into::into), colours: palette::class_colours(classes), failed: false })
    }

    /// Writes one frame's. A failure, such as a full disk, is told once; the stream goes on.
    pub fn write(&mut self, report: &Report<'_>) {
        if let Err(failure) = self.try_write(report)
            && !std::mem::replace(&mut self.failed, true)
        {
            eprintln!("candor: frame {}: {failure}; further failures are not told", report.sequence);
        }
    }

    fn try_write(&self, report: &Report<'_>) -> Result<(), Failure> {
        let (Some(folder), Some(finding)) = (&self.folder, &report.finding) else { return Ok(()) };
        let path = |what: &str| folder.join(format!("{:012}.{what}.png", report.sequence));
        let labels = Labels::new(finding.width, finding.height, finding.mask.to_vec())
            .map_err(|error| Failure::invalid(error.to_string()))?;
        write::mask_png(&path("mask"), &labels, &self.colours)?;
        write::confidence_png(&path("confidence"), finding.width, finding.height, finding.confidence)?;
        Ok(())
    }
}
