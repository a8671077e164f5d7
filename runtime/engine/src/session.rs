//! A session: one package made ready to run frames, with every buffer it will ever need.

mod array;
mod details;

pub use details::Details;

use crate::buffer::AlignedBuffer;
use crate::error::{Error, ErrorKind};
use crate::frame::FrameView;
use crate::geometry::{self, Span};
use crate::ood::features::Features;
use crate::ood::profile::Profile;
use crate::ood::{Detector, Verdict};
use crate::package::Package;
use crate::preprocess::Preprocessor;
use candor_core::calibration::{self, Tables};
use candor_core::digest;
use candor_core::interpreter::{self, Observer};
use candor_core::package::{Geometry, Head, Package as View, Section};
use candor_core::plan::Plan;
use candor_core::tensor::{Layout, Rows};
use candor_cpu::{CpuKernels, Tier};

/// How a session runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// Kernel tier; the best available when `None`.
    pub tier: Option<Tier>,
    /// Threads, at least one; 0 means one.
    pub threads: usize,
    /// Greatest number of bytes the session may hold beyond the mapped package.
    pub memory: Option<usize>,
}

/// What the calibration of a finding is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrationState {
    /// The package's calibration was applied.
    Applied,
    /// An alert fired: confidence is the model's own and must not be relied on.
    Void,
    /// The package has no calibration.
    None,
}

impl CalibrationState {
    /// As reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Void => "void",
            Self::None => "none",
        }
    }
}

/// The result of one frame, in the frame's own pixels; it borrows the session's buffers.
#[derive(Debug, Clone, Copy)]
pub struct Finding<'s> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Class of every pixel, row-major.
    pub mask: &'s [u8],
    /// Probability that the class is right, in 1/65535, row-major.
    pub confidence: &'s [u16],
    /// What the confidence is worth.
    pub calibration: CalibrationState,
    /// The out-of-distribution verdict, when the package has a profile.
    pub ood: Option<Verdict>,
    /// SHA-256 of the raw output tensors of all model runs, in order.
    pub digest: [u8; 32],
}

/// A package ready to run.
pub struct Session<'p> {
    view: View<'p>,
    plan: Plan<'p>,
    head: Head<'p>,
    uncalibrated: Tables<'p>,
    calibrated: Option<Tables<'p>>,
    kernels: CpuKernels,
    detector: Option<Detector<'p>>,
    features: Option<Features>,
    verdict: Option<Verdict>,
    arena: AlignedBuffer,
    preprocessor: Option<Preprocessor>,
    codes: Vec<u8>,
    model_mask: Vec<u8>,
    model_confidence: Vec<u16>,
    mask: Vec<u8>,
    confidence: Vec<u16>,
    spans: [Vec<Span>; 2],
    extent: [usize; 2],
    memory: Option<usize>,
    digest: [u8; 32],
}

impl<'p> Session<'p> {
    /// Checks the plan, the budget and the tier, and allocates the arena.
    ///
    /// # Errors
    /// [`ErrorKind::Package`], [`ErrorKind::Device`] for an absent tier, [`ErrorKind::Memory`] naming the
    /// least budget that would do.
    pub fn new(package: &'p Package, options: &SessionOptions) -> Result<Self, Error> {
        let view = package.view()?;
        let plan = view.plan()?;
        let head = view.head()?;
        let uncalibrated = Tables::uncalibrated(&head);
        let calibrated = match view.section(Section::Calibration) {
            Some(section) => Some(Tables::parse(section, &head)?.0),
            None => None,
        };
        let tier = options.tier.unwrap_or_else(Tier::best);
        let kernels = CpuKernels::new(tier, options.threads.max(1))
            .map_err(|error| Error::new(ErrorKind::Device, error.to_string()))?;
        let input = plan.tensor(0)?;
        let output = plan.tensor(plan.output())?;
        if output.layout.channels != head.channels {
            let what = "section 'head' describes another number of channels than the plan's output";
            return Err(Error::new(ErrorKind::Package, what));
        }
        let settings = view.preprocess()?;
        let preprocessor = Preprocessor::new(settings, input.layout, input.scale, input.zero_point).ok();
        let pixels = output.layout.height * output.layout.width;
        let mut session = Self {
            view,
            plan,
            head,
            uncalibrated,
            calibrated,
            kernels,
            detector: None,
            features: None,
            verdict: None,
            arena: AlignedBuffer::default(),
            preprocessor,
            codes: Vec::new(),
            model_mask: vec![0; pixels],
            model_confidence: vec![0; pixels],
            mask: Vec::new(),
            confidence: Vec::new(),
            spans: Default::default(),
            extent: [0; 2],
            memory: options.memory,
            digest: [0; 32],
        };
        session.check_budget([input.layout.height, input.layout.width])?;
        session.arena = AlignedBuffer::zeroed(plan.arena_bytes());
        session.codes = vec![0; codes_of(input.layout)];
        if let Some(section) = view.section(Section::Ood) {
            let profile = Profile::parse(section, &plan)?;
            session.tap(&profile.steps)?;
            session.detector = Some(Detector::new(profile));
        }
        Ok(session)
    }

    /// Bytes the session holds for frames of `extent` (rows, columns), beyond the package.
    pub fn bytes(&self, extent: [usize; 2]) -> usize {
        let codes = self.plan.tensor(0).map_or(0, |input| codes_of(input.layout));
        let planes = self.preprocessor.as_ref().map_or(0, |p| p.bytes(extent[0], extent[1]));
        self.plan.arena_bytes() + codes + planes + 3 * self.model_mask.len() + 3 * extent[0] * extent[1]
    }

    fn check_budget(&self, extent: [usize; 2]) -> Result<(), Error> {
        let needed = self.bytes(extent);
        match self.memory {
            Some(budget) if needed > budget => {
                let what = format!(
                    "a frame of {}x{} needs {needed} bytes ({} of them the arena) but the budget is \
                     {budget}; \
                     give at least {needed}",
                    extent[1],
                    extent[0],
                    self.plan.arena_bytes()
                );
                Err(Error::new(ErrorKind::Memory, what))
            }
            _ => Ok(()),
        }
    }

    /// Takes features of every frame at the outputs of `steps`.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when a step does not exist.
    pub fn tap(&mut self, steps: &[usize]) -> Result<(), Error> {
        let channels = self.plan.tensor(0)?.layout.channels.min(3);
        self.features = Some(Features::new(&self.plan, steps, channels)?);
        Ok(())
    }

    /// The features of the last frame, when steps are tapped.
    pub const fn features(&self) -> Option<&Features> {
        self.features.as_ref()
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan<'p> {
        &self.plan
    }

    /// The head.
    pub const fn head(&self) -> &Head<'p> {
        &self.head
    }

    /// The package.
    pub const fn package(&self) -> &View<'p> {
        &self.view
    }

    /// The kernels' tier.
    pub fn tier(&self) -> Tier {
        self.kernels.tier()
    }

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
    fn run_tiles(
        &mut self,
        frame: &FrameView<'_>,
        mut visit: impl FnMut(&Self, [Span; 2]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        frame.check()?;
        self.prepare([frame.height, frame.width])?;
        if let Some(preprocessor) = self.preprocessor.as_mut() {
            preprocessor.take(frame);
        }
        self.start_features();
        let mut digests = digest::Chain::default();
        for row in 0..self.spans[0].len() {
            for column in 0..self.spans[1].len() {
                let spans = [self.spans[0][row], self.spans[1][column]];
                if let Some(preprocessor) = &self.preprocessor {
                    preprocessor.codes([spans[0].origin, spans[1].origin], &mut self.codes);
                }
                let arena = self.arena.as_mut_slice();
                interpreter::load_input(&self.plan, arena, 0, &self.codes)?;
                match self.features.as_mut() {
                    Some(features) => {
                        let mut taps = features.observe(&self.kernels);
                        interpreter::run(&self.plan, &self.kernels, arena, &mut taps)?;
                    }
                    None => interpreter::run(&self.plan, &self.kernels, arena, &mut ())?,
                }
                digests.add(self.read_output()?);
                self.place(spans);
                visit(self, spans)?;
            }
        }
        self.digest = digests.finish();
        self.judge()
    }

    /// Clears the features and counts the frame's intensities.
    fn start_features(&mut self) {
        let (Some(features), Some(preprocessor)) = (self.features.as_mut(), &self.preprocessor) else {
            return;
        };
        features.clear();
        for (channel, samples) in preprocessor.channels().enumerate() {
            features.count_intensities(channel, samples.iter().copied(), preprocessor.full_scale());
        }
    }

    fn judge(&mut self) -> Result<(), Error> {
        self.verdict = match (self.detector.as_mut(), &self.features) {
            (Some(detector), Some(features)) => Some(detector.judge(features, self.extent)?),
            _ => None,
        };
        Ok(())
    }

    /// Runs planar codes `[C,H,W]`, one slice per model input, as they are; the raw output is then
    /// [`Session::output`].
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
        let layout = self.plan.tensor(self.plan.output())?.layout;
        let extent = [layout.height, layout.width];
        self.resize_results(extent)?;
        // The next frame lays its own tiles, whatever its extent.
        self.spans.iter_mut().for_each(Vec::clear);
        let arena = self.arena.as_mut_slice();
        for (index, codes) in inputs.iter().enumerate() {
            interpreter::load_input(&self.plan, arena, index, codes)?;
        }
        interpreter::run(&self.plan, &self.kernels, arena, observer)?;
        let mut digests = digest::Chain::default();
        digests.add(self.read_output()?);
        self.digest = digests.finish();
        self.verdict = None;
        self.mask.copy_from_slice(&self.model_mask);
        self.confidence.copy_from_slice(&self.model_confidence);
        Ok(self.finding())
    }

    /// The raw output tensor of the last model run.
    ///
    /// # Errors
    /// Never after a run.
    pub fn output(&self) -> Result<Rows<'_>, Error> {
        Ok(interpreter::tensor_rows(&self.plan, self.arena.as_slice(), self.plan.output())?)
    }

    fn tables(&self) -> &Tables<'p> {
        self.calibrated.as_ref().unwrap_or(&self.uncalibrated)
    }

    /// Mask and confidence at model scale, and the raw output.
    fn read_output(&mut self) -> Result<Rows<'_>, Error> {
        let tables = self.calibrated.unwrap_or(self.uncalibrated);
        let output = self.plan.output();
        let rows = interpreter::tensor_rows(&self.plan, self.arena.as_slice(), output)?;
        calibration::apply(&self.head, &tables, rows, &mut self.model_mask, &mut self.model_confidence);
        Ok(rows)
    }

    fn resize_results(&mut self, extent: [usize; 2]) -> Result<(), Error> {
        self.check_budget(extent)?;
        self.extent = extent;
        self.mask.resize(extent[0] * extent[1], 0);
        self.confidence.resize(extent[0] * extent[1], 0);
        Ok(())
    }

    fn prepare(&mut self, extent: [usize; 2]) -> Result<(), Error> {
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
    fn for_each_pixel(&self, spans: [Span; 2], mut visit: impl FnMut(usize, usize)) {
        let Ok(output) = self.plan.tensor(self.plan.output()) else { return };
        let Ok(input) = self.plan.tensor(0) else { return };
        let model = [output.layout.height, output.layout.width];
        let resized = matches!(self.view.preprocess().map(|p| p.geometry), Ok(Geometry::Resize));
        let seen = if resized { self.extent } else { [input.layout.height, input.layout.width] };
        for y in spans[0].from..spans[0].to {
            let row = geometry::nearest(y - spans[0].origin, seen[0], model[0]) * model[1];
            for x in spans[1].from..spans[1].to {
                let source = row + geometry::nearest(x - spans[1].origin, seen[1], model[1]);
                visit(y * self.extent[1] + x, source);
            }
        }
    }

    fn finding(&self) -> Finding<'_> {
        let alert = self.verdict.is_some_and(|verdict| verdict.alert);
        let calibration = match self.calibrated {
            None => CalibrationState::None,
            Some(_) if alert => CalibrationState::Void,
            Some(_) => CalibrationState::Applied,
        };
        Finding {
            height: self.extent[0],
            width: self.extent[1],
            mask: &self.mask,
            confidence: &self.confidence,
            calibration,
            ood: self.verdict,
            digest: self.digest,
        }
    }
}

fn codes_of(layout: Layout) -> usize {
    layout.height * layout.width * layout.channels
}

#[cfg(test)]
mod tests;
