//! Runs a package in flash over a static arena, by a schedule that a planner made beforehand.

use candor_core::calibration::{self, BOUNDARY_RADIUS, Tables};
use candor_core::digest::TensorDigest;
use candor_core::golden;
use candor_core::interpreter::{Observer, RunError};
use candor_core::package::{Head, Package, PackageError, Section};
use candor_core::plan::Plan;
use candor_core::schedule::{self, Schedule, Source};
use candor_core::tensor::{Rows, RowsMut};
use candor_cpu::CpuKernels;

/// Most steps whose digests can be collected.
pub const STEPS_MAX: usize = 48;

/// Why a frame could not be segmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The package.
    Package(PackageError),
    /// The arena, or a schedule of another plan.
    Run(RunError),
    /// Mask or confidence have another number of pixels than the output.
    Pixels,
    /// The source ended before the frame did.
    Source,
}

impl From<PackageError> for Refusal {
    fn from(error: PackageError) -> Self {
        Self::Package(error)
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

/// A package ready to run by a schedule of numbers `I`.
pub struct Segmenter<'p, I = u16> {
    plan: Plan<'p>,
    head: Head<'p>,
    tables: Tables<'p>,
    schedule: Schedule<'p, I>,
    kernels: CpuKernels,
}

impl<'p, I: Copy + Into<u16>> Segmenter<'p, I> {
    /// Checks the whole package, digests included. `schedule` is one that the planner made for its plan.
    ///
    /// # Errors
    /// [`Refusal::Package`].
    pub fn new(package: &'p [u8], schedule: Schedule<'p, I>, kernels: CpuKernels) -> Result<Self, Refusal> {
        let package = Package::parse(package)?;
        let (plan, head) = (package.plan()?, package.head()?);
        let tables = match package.section(Section::Calibration) {
            Some(section) => Tables::parse(section, &head)?.0,
            None => Tables::uncalibrated(&head),
        };
        Ok(Self { plan, head, tables, schedule, kernels })
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan<'p> {
        &self.plan
    }

    /// Runs one frame: class and confidence in 1/65535 of every pixel of the output, row-major.
    ///
    /// # Errors
    /// [`Refusal`].
    ///
    /// # Exactness
    /// Whatever the schedule and the kernels, the bytes are those of a session on the host.
    pub fn run(
        &self,
        arena: &mut [u8],
        source: &mut impl Source,
        mask: &mut [u8],
        confidence: &mut [u16],
        observer: &mut impl Observer,
    ) -> Result<(), Refusal> {
        let layout = self.plan.tensor(self.plan.output()).map_err(PackageError::from)?.layout;
        let pixels = layout.height * layout.width;
        if mask.len() != pixels || confidence.len() != pixels {
            return Err(Refusal::Pixels);
        }
        let mut watch = Watch { segmenter: self, mask, confidence, finished: 0, observer };
        let mut position = 0;
        schedule::run(&self.plan, &self.schedule, &self.kernels, arena, source, &mut watch, &mut position)?;
        if position == self.schedule.entries.len() { Ok(()) } else { Err(Refusal::Source) }
    }
}

/// Reads the rows of the output as they are finished.
struct Watch<'a, 'p, I, O> {
    segmenter: &'a Segmenter<'p, I>,
    mask: &'a mut [u8],
    confidence: &'a mut [u16],
    /// Rows whose confidence is finished.
    finished: usize,
    observer: &'a mut O,
}

impl<I: Copy + Into<u16>, O: Observer> Observer for Watch<'_, '_, I, O> {
    fn after_rows(&mut self, step: usize, tensor: usize, rows: Rows<'_>) {
        let own = self.segmenter;
        if tensor == own.plan.output() {
            let (height, width, image) = (rows.layout.height, rows.layout.width, rows.image_rows());
            let pixels = image.start * width..image.end * width;
            let (labels, values) = (&mut self.mask[pixels.clone()], &mut self.confidence[pixels]);
            calibration::apply(&own.head, &own.tables, rows, labels, values);
            let done = image.end;
            let radius = if own.tables.boundary.is_some() { BOUNDARY_RADIUS } else { 0 };
            let end = if done == height { height } else { done.saturating_sub(radius) };
            let begin = self.finished.min(end);
            let values = &mut self.confidence[begin * width..end * width];
            calibration::finish(&own.head, &own.tables, width, begin, &self.mask[..done * width], values);
            self.finished = end;
        }
        self.observer.after_rows(step, tensor, rows);
    }
}

/// Digests of every step's output, as rows are finished.
#[derive(Debug, Clone)]
pub struct StepDigests([Option<TensorDigest>; STEPS_MAX]);

impl StepDigests {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        Self([const { None }; STEPS_MAX])
    }

    /// The digests by step; none for steps whose tensor a later one completes. They are empty afterwards.
    pub fn take(&mut self) -> impl Iterator<Item = (usize, [u8; 32])> + '_ {
        let taken = self.0.iter_mut().enumerate();
        taken.filter_map(|(step, digest)| digest.take().map(|digest| (step, digest.finish())))
    }
}

impl Default for StepDigests {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for StepDigests {
    fn after_rows(&mut self, step: usize, _: usize, rows: Rows<'_>) {
        if let Some(digest) = self.0.get_mut(step) {
            digest.get_or_insert_with(|| TensorDigest::new(&rows.layout)).add(rows);
        }
    }
}

/// The golden input of a seed, made row by row.
#[derive(Debug, Clone, Copy)]
pub struct GoldenSource {
    /// See [`golden::input_code`].
    pub seed: u32,
}

impl Source for GoldenSource {
    fn load(&mut self, _: usize, mut rows: RowsMut<'_>) -> bool {
        let layout = rows.layout;
        for y in rows.first..rows.first + rows.count {
            for c in 0..layout.channels {
                let start = (c * layout.height + y) * layout.width;
                for x in 0..layout.width {
                    rows.set_code(y, x, c, golden::input_code(self.seed, start + x, layout.width));
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
