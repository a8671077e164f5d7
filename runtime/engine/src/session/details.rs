//! Everything that fitting and evaluation need of a frame, beyond its finding.

use super::{Finding, Session};
use crate::error::Error;
use crate::frame::FrameView;
use crate::geometry::Span;
use candor_core::calibration;

/// What fitting and evaluation need of a frame, in the frame's own pixels.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Logit index per output channel, planar `[channels][H·W]`: see
    /// [`HeadCodes`](candor_core::package::HeadCodes).
    pub indices: Vec<u16>,
    /// The model's own class probabilities, planar `[classes][H·W]`, in 1/65535.
    pub uncalibrated: Vec<u16>,
    /// Calibrated class probabilities, likewise.
    pub calibrated: Vec<u16>,
    /// Whether the pixel lies near a change of the predicted mask.
    pub boundary: Vec<bool>,
}

impl Details {
    fn clear(&mut self, channels: usize, classes: usize, pixels: usize) {
        self.indices.resize(channels * pixels, 0);
        self.uncalibrated.resize(classes * pixels, 0);
        self.calibrated.resize(classes * pixels, 0);
        self.boundary.resize(pixels, false);
    }
}

impl Session<'_> {
    /// As [`Session::run`], and keeps everything that fitting and evaluation need in `details`.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_detailed(
        &mut self,
        frame: &FrameView<'_>,
        details: &mut Details,
    ) -> Result<Finding<'_>, Error> {
        details.clear(self.head.channels, self.head.classes(), frame.height * frame.width);
        self.run_tiles(frame, |session, spans| session.collect(spans, details))?;
        Ok(self.finding())
    }

    /// The tile's logit indices, probabilities and boundary flags, in frame pixels.
    fn collect(&self, spans: [Span; 2], details: &mut Details) -> Result<(), Error> {
        let rows = self.output()?;
        let [model_height, model_width] = [rows.layout.height, rows.layout.width];
        let uncalibrated = self.probabilities(false)?;
        let calibrated = self.probabilities(true)?;
        let (pixels, model_pixels) = (self.extent[0] * self.extent[1], model_height * model_width);
        self.for_each_pixel(spans, |target, source| {
            let (y, x) = (source / model_width, source % model_width);
            for c in 0..self.head.channels {
                details.indices[c * pixels + target] = self.head.index(rows.value(y, x, c), c);
            }
            for class in 0..self.head.classes() {
                let (to, from) = (class * pixels + target, class * model_pixels + source);
                details.uncalibrated[to] = uncalibrated[from];
                details.calibrated[to] = calibrated[from];
            }
            let extent = [model_height, model_width];
            details.boundary[target] = calibration::is_boundary(&self.model_mask, extent, source);
        });
        Ok(())
    }

    /// Calibrated (or the model's own) probabilities of every class of the last model run, planar
    /// `[classes][H·W]` in 1/65535.
    ///
    /// # Errors
    /// Never after a run.
    pub fn probabilities(&self, calibrated: bool) -> Result<Vec<u16>, Error> {
        let rows = self.output()?;
        let mut planes = vec![0; self.head.classes() * rows.layout.height * rows.layout.width];
        let tables = if calibrated { self.tables() } else { &self.uncalibrated };
        calibration::probabilities(&self.head, tables, rows, &self.model_mask, &mut planes);
        Ok(planes)
    }
}
