//! Row streaming: a frame's rows go in as they arrive, finished rows of the mask come out before the last.

use super::frame::Window;
use super::{Finding, Session};
use crate::error::{Error, ErrorKind};
use crate::frame::FrameView;
use crate::preprocess::Preprocessor;
use candor_core::digest;
use candor_core::package::Normalize;

/// Rows of the result that a push finished.
#[derive(Debug, Clone, Copy)]
pub struct Strip<'s> {
    /// First row.
    pub first: usize,
    /// Columns of a row.
    pub width: usize,
    /// Class of every pixel of the finished rows, row-major.
    pub mask: &'s [u8],
    /// Probability that the class is right, in 1/65535, row-major; the model's own until the frame's
    /// verdict is known.
    pub confidence: &'s [u16],
    /// The whole finding, with the last rows of the frame.
    pub finding: Option<Finding<'s>>,
}

impl Session<'_> {
    /// Takes the next rows of a frame of the model's extent and runs what they allow; `rows.height` is the
    /// number of new rows. The first push after a finished frame begins the next, and so does one after a
    /// whole frame was run in between. The bytes are those of [`Session::run`] on the whole frame.
    ///
    /// Allocates nothing after the first frame. How early rows come out depends on the schedule: see
    /// [`SessionOptions::streaming`](super::SessionOptions::streaming).
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for rows of another width, depth or number of channels, more rows than the frame
    /// has left, or a package whose frames cannot be streamed; the frame then begins anew.
    pub fn push_rows(&mut self, rows: &FrameView<'_>) -> Result<Strip<'_>, Error> {
        let outcome = self.push(rows);
        let Ok((first, ended)) = outcome else {
            self.received = 0;
            return Err(outcome.err().unwrap_or_else(|| Error::new(ErrorKind::Input, "no rows")));
        };
        let width = self.extent[1];
        let finished = first * width..self.progress.confidence_rows * width;
        Ok(Strip {
            first,
            width,
            mask: &self.model_mask[finished.clone()],
            confidence: &self.model_confidence[finished],
            finding: ended.then(|| self.finding()),
        })
    }

    /// The first row of the mask that was finished by `rows`, and whether the frame has ended.
    fn push(&mut self, rows: &FrameView<'_>) -> Result<(usize, bool), Error> {
        rows.check()?;
        let input = self.plan.tensor(0)?.layout;
        let extent = [input.height, input.width];
        let first = self.received;
        if first == 0 {
            self.begin_rows(rows, extent)?;
        }
        if rows.width != extent[1] || rows.height > extent[0] - first {
            let what = format!(
                "{} rows of {} pixels after row {first}; a frame has {} rows of {}",
                rows.height, rows.width, extent[0], extent[1]
            );
            return Err(Error::new(ErrorKind::Input, what));
        }
        let form = (rows.channels, rows.full_scale);
        if first == 0 {
            self.received_form = form;
        } else if form != self.received_form {
            let what = format!(
                "rows of {} channels up to {} after row {first}; the frame began with {} up to {}",
                form.0, form.1, self.received_form.0, self.received_form.1
            );
            return Err(Error::new(ErrorKind::Input, what));
        }
        self.received += rows.height;
        if let Some(preprocessor) = self.preprocessor.as_mut() {
            preprocessor.take_rows(first, rows);
        }
        if let (Some(features), Some(preprocessor)) = (self.features.as_mut(), &self.preprocessor) {
            for (channel, samples) in preprocessor.channels(rows).enumerate() {
                features.count_intensities(channel, samples, preprocessor.full_scale());
            }
        }
        let begun = self.progress.confidence_rows;
        self.advance_rows()?;
        if self.received < extent[0] {
            return Ok((begun, false));
        }
        self.received = 0;
        let mut digests = digest::Chain::default();
        digests.add(self.end_model()?);
        self.digest = digests.finish();
        self.judge()?;
        Ok((begun, true))
    }

    /// Begins a frame, if frames of this package can be streamed at all.
    fn begin_rows(&mut self, rows: &FrameView<'_>, extent: [usize; 2]) -> Result<(), Error> {
        let settings = self.view.preprocess()?;
        let refusal = if self.remote.is_some() {
            Some("they go to a device, which takes a whole frame at a time")
        } else if matches!(settings.normalize, Normalize::Standardize { .. }) {
            Some("each frame is standardised by its own mean, which its last row decides")
        } else if !self.is_direct(extent) {
            Some("its output has another extent than its input")
        } else {
            None
        };
        if let Some(why) = refusal {
            let what = format!("frames of this package cannot be streamed by rows: {why}; use whole frames");
            return Err(Error::new(ErrorKind::Input, what));
        }
        if self.preprocessor.as_mut().is_some_and(Preprocessor::expect_rows) {
            // The budget is to be asked again.
            self.spans.iter_mut().for_each(Vec::clear);
        }
        self.prepare(extent)?;
        if let Some(preprocessor) = self.preprocessor.as_mut() {
            preprocessor.begin_rows(rows, extent);
        }
        if let Some(features) = self.features.as_mut() {
            features.clear();
        }
        self.progress = Default::default();
        Ok(())
    }

    /// Runs the model on the rows received.
    fn advance_rows(&mut self) -> Result<(), Error> {
        let (preprocessor, mut line) = (self.preprocessor.take(), std::mem::take(&mut self.line));
        let outcome = match &preprocessor {
            Some(preprocessor) => {
                let available = self.received;
                let mut window =
                    Window { preprocessor, frame: None, origin: [0; 2], available, line: &mut line };
                self.advance(&mut window, true, &mut ())
            }
            None => Ok(()),
        };
        (self.preprocessor, self.line) = (preprocessor, line);
        outcome
    }
}
