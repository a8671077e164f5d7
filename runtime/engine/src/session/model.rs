//! One run of the model: rows in, mask and confidence at model scale out, as rows are finished.

use super::Session;
use crate::error::{Error, ErrorKind};
use crate::ood::features::TapObserver;
use candor_core::calibration::{self, BOUNDARY_RADIUS, Tables};
use candor_core::digest::TensorDigest;
use candor_core::interpreter::Observer;
use candor_core::package::Head;
use candor_core::schedule::{self, Source};
use candor_core::tensor::Rows;
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

/// Sees every finished row: reads the output, sums the taps, and passes it on.
struct Watch<'a, 'p, O> {
    output: usize,
    head: &'a Head<'p>,
    tables: Tables<'p>,
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
    fn read_output(&mut self, rows: Rows<'_>) {
        let (height, width) = (rows.layout.height, rows.layout.width);
        self.progress.digest.get_or_insert_with(|| TensorDigest::new(&rows.layout)).add(rows);
        calibration::apply(self.head, &self.tables, rows, self.mask, self.confidence);
        let done = rows.image_rows().end;
        let radius = if self.tables.boundary.is_some() { BOUNDARY_RADIUS } else { 0 };
        let end = if done == height { height } else { done.saturating_sub(radius) };
        let begin = self.progress.confidence_rows.min(end);
        calibration::finish(self.head, &self.tables, width, begin..end, self.mask, self.confidence);
        (self.progress.mask_rows, self.progress.confidence_rows) = (done, end);
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
        let mut position = self.progress.position;
        let features = self.features.as_mut().filter(|_| tapped);
        let mut watch = Watch {
            output: self.plan.output(),
            head: &self.head,
            tables: self.calibrated.unwrap_or(self.uncalibrated),
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
        let place = self.planned.schedule().places[self.plan.output()];
        Ok(Rows::whole(place.layout, &self.arena.as_slice()[place.bytes()]))
    }
}
