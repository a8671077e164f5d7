//! One run of the model: rows in, mask and confidence at model scale out, as rows are finished.

use super::Session;
use super::device::Targets;
use crate::error::{Error, ErrorKind};
use crate::ood::features::TapObserver;
use candor_core::calibration::{self, BOUNDARY_RADIUS, PairTable, Tables};
use candor_core::digest::TensorDigest;
use candor_core::interpreter::Observer;
use candor_core::package::Head;
use candor_core::schedule::{self, Source};
use candor_core::tensor::{Layout, Rows};
use candor_cpu::CpuKernels;

/// How far a run of the model has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Next entry of the schedule.
    position: usize,
    digest: Option<TensorDigest>,
    /// Rows of the mask that are finished.
    pub mask_rows: usize,
    /// Rows whose confidence is finished.
    pub confidence_rows: usize,
}

/// Pixels of the output that a thread reads at a time.
const PART_PIXELS: usize = 16 << 10;
/// Work of reading one pixel, as [`CpuKernels::for_each`] counts it.
const WORK_PER_PIXEL: usize = 16;

/// What the threads do with rows of the output.
enum Part<'a, 'r> {
    Digest(&'a mut TensorDigest),
    Pixels(Rows<'r>, &'a mut [u8], &'a mut [u16]),
}

/// Sees every finished row: reads the output, sums the taps, and passes it on.
struct Watch<'a, 'p, O> {
    output: usize,
    head: &'a Head<'p>,
    tables: Tables<'p>,
    pair: Option<&'a PairTable>,
    kernels: &'a CpuKernels,
    mask: &'a mut [u8],
    confidence: &'a mut [u16],
    progress: &'a mut Progress,
    taps: Option<TapObserver<'a, CpuKernels>>,
    observer: &'a mut O,
}

impl<O: Observer> Observer for Watch<'_, '_, O> {
    fn after_rows(&mut self, step: usize, tensor: usize, rows: Rows<'_>) {
        if tensor == self.output {
            self.read_output(rows);
        }
        if let Some(taps) = &mut self.taps {
            taps.after_rows(step, tensor, rows);
        }
        self.observer.after_rows(step, tensor, rows);
    }
}

impl<O> Watch<'_, '_, O> {
    /// Digest, labels and confidence of rows of the output, shared among the threads.
    fn read_output(&mut self, rows: Rows<'_>) {
        let (layout, image) = (rows.layout, rows.image_rows());
        let digest = self.progress.digest.get_or_insert_with(|| TensorDigest::new(&layout));
        let pixels = image.start * layout.width..image.end * layout.width;
        let part = PART_PIXELS.div_ceil(layout.width) * layout.width;
        let targets =
            self.mask[pixels.clone()].chunks_mut(part).zip(self.confidence[pixels].chunks_mut(part));
        let parts = targets.enumerate().map(|(index, (labels, values))| {
            let first = image.start + index * part / layout.width;
            Part::Pixels(rows.part(first..first + labels.len() / layout.width), labels, values)
        });
        let work = image.len() * layout.width * WORK_PER_PIXEL;
        let items = core::iter::once(Part::Digest(digest)).chain(parts);
        self.kernels.for_each(work, items, |part| match part {
            Part::Digest(digest) => digest.add(rows),
            Part::Pixels(rows, labels, values) => match self.pair {
                Some(pair) => pair.apply(self.head, rows, labels, values),
                None => calibration::apply(self.head, &self.tables, rows, labels, values),
            },
        });
        self.finish_confidence(image.end, layout);
    }

    /// Ends the confidence of rows whose surroundings are known now that the mask ends at row `done`.
    fn finish_confidence(&mut self, done: usize, layout: Layout) {
        let radius = if self.tables.boundary.is_some() { BOUNDARY_RADIUS } else { 0 };
        let end = if done == layout.height { done } else { done.saturating_sub(radius) };
        let begin = self.progress.confidence_rows.min(end);
        (self.progress.mask_rows, self.progress.confidence_rows) = (done, end);
        let part = PART_PIXELS.div_ceil(layout.width);
        let values =
            self.confidence[begin * layout.width..end * layout.width].chunks_mut(part * layout.width);
        let parts = values.enumerate().map(|(index, values)| (begin + index * part, values));
        let (mask, work) = (&*self.mask, (end - begin) * layout.width * WORK_PER_PIXEL);
        self.kernels.for_each(work, parts, |(first, values)| {
            calibration::finish(self.head, &self.tables, layout.width, first, mask, values);
        });
    }
}

impl Session<'_> {
    /// Runs the whole model on rows from `source` and returns the digest of its output.
    pub(super) fn run_model(
        &mut self,
        source: &mut impl Source,
        tapped: bool,
        observer: &mut impl Observer,
    ) -> Result<[u8; 32], Error> {
        self.progress = Progress::default();
        // Rows pushed before are overwritten: the next push begins a frame.
        self.received = 0;
        self.advance(source, tapped, observer)?;
        self.end_model()
    }

    /// Runs as much of the model as the rows of `source` allow.
    pub(super) fn advance(
        &mut self,
        source: &mut impl Source,
        tapped: bool,
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        if self.remote.is_some() {
            return self.advance_remote(source, tapped, observer);
        }
        let mut position = self.progress.position;
        let features = self.features.as_mut().filter(|_| tapped);
        let mut watch = Watch {
            output: self.plan.output(),
            head: &self.head,
            tables: self.calibrated.unwrap_or(self.uncalibrated),
            pair: self.pair.as_deref(),
            kernels: &self.kernels,
            mask: &mut self.model_mask,
            confidence: &mut self.model_confidence,
            progress: &mut self.progress,
            taps: features.map(|features| features.observe(&self.kernels)),
            observer,
        };
        let schedule = self.planned.schedule();
        let arena = self.arena.as_mut_slice();
        schedule::run(&self.plan, &schedule, &self.kernels, arena, source, &mut watch, &mut position)?;
        self.progress.position = position;
        Ok(())
    }

    /// Runs all of the model on the device.
    fn advance_remote(
        &mut self,
        source: &mut impl Source,
        tapped: bool,
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let Some(remote) = self.remote.as_mut() else { return Ok(()) };
        let targets = Targets {
            mask: &mut self.model_mask,
            confidence: &mut self.model_confidence,
            digest: &mut self.progress.digest,
        };
        match self.features.as_mut().filter(|_| tapped) {
            Some(features) => remote.run_tapped(&self.plan, source, features, &self.kernels, targets),
            None => remote.run(&self.plan, source, observer.is_watching(), observer, targets),
        }
    }

    /// Whether every entry of the schedule was carried out.
    pub(super) fn model_ended(&self) -> bool {
        self.progress.position == self.planned.schedule().entries.len()
    }

    /// The digest of the output of a run that has ended.
    pub(super) fn end_model(&mut self) -> Result<[u8; 32], Error> {
        match self.progress.digest.take() {
            Some(digest) if self.model_ended() => Ok(digest.finish()),
            _ => Err(Error::new(ErrorKind::Input, "the model was given fewer rows than it takes")),
        }
    }

    /// The raw output tensor of the last model run, for sessions that keep it.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] without [`keep_output`](super::SessionOptions::keep_output).
    pub fn output(&self) -> Result<Rows<'_>, Error> {
        if !self.options.keep_output {
            let what = "the raw output was not kept; make the session with keep_output";
            return Err(Error::new(ErrorKind::Input, what));
        }
        if let Some(remote) = &self.remote {
            return remote.output(&self.plan);
        }
        let place = self.planned.schedule().places[self.plan.output()];
        Ok(Rows::whole(place.layout, &self.arena.as_slice()[place.bytes()]))
    }
}
