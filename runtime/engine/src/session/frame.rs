//! Whole frames: every tile through the model, results placed in the frame's own pixels.

use super::{Finding, Session};
use crate::error::{Error, ErrorKind};
use crate::frame::FrameView;
use crate::geometry::{self, Span};
use crate::preprocess::Preprocessor;
use candor_core::digest;
use candor_core::interpreter::Observer;
use candor_core::package::Geometry;
use candor_core::schedule::{Source, load_channel};
use candor_core::tensor::RowsMut;

/// Rows of a model window of the frame that was taken.
pub(super) struct Window<'a> {
    pub preprocessor: &'a Preprocessor,
    /// The frame; without one the rows are those that the preprocessor was given.
    pub frame: Option<&'a FrameView<'a>>,
    /// Frame position (row, column) of the window's first pixel.
    pub origin: [usize; 2],
    /// Rows of the window that are there.
    pub available: usize,
    /// Room for one row of codes.
    pub line: &'a mut [u8],
}

impl Source for Window<'_> {
    fn load(&mut self, input: usize, mut rows: RowsMut<'_>) -> bool {
        let layout = rows.layout;
        if input != 0 || rows.first + rows.count > self.available {
            return false;
        }
        for y in rows.first..rows.first + rows.count {
            for channel in 0..layout.channels {
                self.preprocessor.row_codes(self.frame, self.origin, y, channel, self.line);
                load_channel(&layout, rows.row_mut(y), channel, self.line);
            }
        }
        true
    }
}

impl Session<'_> {
    /// Runs one frame. Buffers grow when a frame is larger than any before; otherwise nothing is allocated.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a frame this package cannot take, [`ErrorKind::Memory`] when it exceeds the
    /// budget.
    pub fn run(&mut self, frame: &FrameView<'_>) -> Result<Finding<'_>, Error> {
        self.run_tiles(frame, |_, _| Ok(()))?;
        Ok(self.finding())
    }

    /// Runs every tile of a frame and hands each, once its result is placed, to `visit`.
    pub(super) fn run_tiles(
        &mut self,
        frame: &FrameView<'_>,
        mut visit: impl FnMut(&Self, [Span; 2]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        frame.check()?;
        self.prepare([frame.height, frame.width])?;
        if let Some(preprocessor) = self.preprocessor.as_mut() {
            preprocessor.take(frame);
        }
        self.start_features(frame);
        let mut digests = digest::Chain::default();
        for row in 0..self.spans[0].len() {
            for column in 0..self.spans[1].len() {
                let spans = [self.spans[0][row], self.spans[1][column]];
                digests.add(self.run_window(frame, [spans[0].origin, spans[1].origin])?);
                if !self.mask.is_empty() {
                    self.place(spans);
                }
                visit(self, spans)?;
            }
        }
        self.digest = digests.finish();
        self.judge()
    }

    /// Runs the model on one window of the frame that was taken.
    fn run_window(&mut self, frame: &FrameView<'_>, origin: [usize; 2]) -> Result<[u8; 32], Error> {
        let (preprocessor, mut line) = (self.preprocessor.take(), std::mem::take(&mut self.line));
        let outcome = match &preprocessor {
            Some(preprocessor) => {
                let mut window = Window {
                    preprocessor,
                    frame: Some(frame),
                    origin,
                    available: usize::MAX,
                    line: &mut line,
                };
                self.run_model(&mut window, true, &mut ())
            }
            None => Err(Error::new(ErrorKind::Input, "no frame was taken")),
        };
        (self.preprocessor, self.line) = (preprocessor, line);
        outcome
    }

    /// Clears the features and counts the frame's intensities.
    fn start_features(&mut self, frame: &FrameView<'_>) {
        let (Some(features), Some(preprocessor)) = (self.features.as_mut(), &self.preprocessor) else {
            return;
        };
        features.clear();
        for (channel, samples) in preprocessor.channels(frame).enumerate() {
            features.count_intensities(channel, samples, preprocessor.full_scale());
        }
    }

    pub(super) fn judge(&mut self) -> Result<(), Error> {
        self.verdict = match (self.detector.as_mut(), &self.features) {
            (Some(detector), Some(features)) => Some(detector.judge(features, self.extent)?),
            _ => None,
        };
        Ok(())
    }

    /// Runs planar codes `[C,H,W]`, one slice per model input, as they are.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when a slice has another length than its input.
    pub fn run_codes(
        &mut self,
        inputs: &[&[u8]],
        observer: &mut impl Observer,
    ) -> Result<Finding<'_>, Error> {
        if inputs.len() != self.plan.inputs() {
            let what = format!("the model takes {} inputs, not {}", self.plan.inputs(), inputs.len());
            return Err(Error::new(ErrorKind::Input, what));
        }
        for (index, codes) in inputs.iter().enumerate() {
            let layout = self.plan.tensor(index)?.layout;
            let count = layout.height * layout.width * layout.channels;
            if codes.len() != count {
                let what = format!("input {index} takes {count} codes, not {}", codes.len());
                return Err(Error::new(ErrorKind::Input, what));
            }
        }
        let layout = self.plan.tensor(self.plan.output())?.layout;
        self.extent = [layout.height, layout.width];
        // The next frame lays its own tiles, whatever its extent.
        self.spans.iter_mut().for_each(Vec::clear);
        let mut source = inputs;
        let digest = self.run_model(&mut source, false, observer)?;
        let mut digests = digest::Chain::default();
        digests.add(digest);
        self.digest = digests.finish();
        self.verdict = None;
        self.mask.clear();
        self.confidence.clear();
        Ok(self.finding())
    }

    pub(super) fn prepare(&mut self, extent: [usize; 2]) -> Result<(), Error> {
        if self.preprocessor.is_none() {
            let what = "this package takes arrays (.npy) only: its channels are neither gray nor RGB";
            return Err(Error::new(ErrorKind::Input, what));
        }
        if self.extent == extent && !self.spans[0].is_empty() {
            return Ok(());
        }
        self.resize_results(extent)?;
        let geometry = self.view.preprocess()?.geometry;
        let layout = self.plan.tensor(0)?.layout;
        self.spans = [
            geometry::spans(geometry, extent[0], layout.height),
            geometry::spans(geometry, extent[1], layout.width),
        ];
        Ok(())
    }

    /// Copies the model's result into the frame's own pixels.
    fn place(&mut self, spans: [Span; 2]) {
        let mut mask = std::mem::take(&mut self.mask);
        let mut confidence = std::mem::take(&mut self.confidence);
        self.for_each_pixel(spans, |target, source| {
            mask[target] = self.model_mask[source];
            confidence[target] = self.model_confidence[source];
        });
        (self.mask, self.confidence) = (mask, confidence);
    }

    /// Calls `visit` with every frame pixel of a tile and the model pixel that covers it.
    pub(super) fn for_each_pixel(&self, spans: [Span; 2], mut visit: impl FnMut(usize, usize)) {
        let Ok(output) = self.plan.tensor(self.plan.output()) else { return };
        let Ok(input) = self.plan.tensor(0) else { return };
        let model = [output.layout.height, output.layout.width];
        let resized = matches!(self.view.preprocess().map(|p| p.geometry), Ok(Geometry::Resize));
        let seen = if resized { self.extent } else { [input.layout.height, input.layout.width] };
        for y in spans[0].from..spans[0].to {
            let row = geometry::nearest(y - spans[0].origin, seen[0], model[0]) * model[1];
            let columns = geometry::nearest_from(spans[1].from - spans[1].origin, seen[1], model[1]);
            for (x, column) in (spans[1].from..spans[1].to).zip(columns) {
                visit(y * self.extent[1] + x, row + column);
            }
        }
    }
}
