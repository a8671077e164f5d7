//! A session: one package made ready to run frames, with every buffer it will ever need.

mod array;
mod budget;
mod details;
mod device;
mod frame;
mod layers;
mod model;
mod rows;

pub use details::Details;
pub use rows::Strip;

use crate::backend::Backend;
use crate::buffer::AlignedBuffer;
use crate::error::{Error, ErrorKind};
use crate::geometry::Span;
use crate::ood::features::{Features, TapPlace};
use crate::ood::profile::Profile;
use crate::ood::{Detector, Verdict};
use crate::package::Package;
use crate::planner::Planned;
use crate::preprocess::Preprocessor;
use crate::recalibrate::ConfidenceMaps;
use candor_core::calibration::{PairTable, Tables};
use candor_core::package::{Head, Package as View, Section};
use candor_core::plan::Plan;
use candor_cpu::{CpuKernels, Tier};
use device::Remote;
use model::Progress;

/// How a session runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// Kernel tier; the best available when `None`.
    pub tier: Option<Tier>,
    /// Threads, at least one; 0 means one.
    pub threads: usize,
    /// Greatest number of bytes the session may hold beyond the mapped package.
    pub memory: Option<usize>,
    /// Whether the raw output stays whole after a run, for [`Session::output`].
    pub keep_output: bool,
    /// Whether the schedule leaves little to do after the last row, for [`Session::push_rows`].
    pub streaming: bool,
    /// The number of a schedule in [`planner::survey`](crate::planner::survey) instead of the best one: for
    /// tests and measurements.
    pub schedule: Option<usize>,
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
    /// The fast form of the tables in force, where they have one.
    pair: Option<Box<PairTable>>,
    kernels: CpuKernels,
    detector: Option<Detector<'p>>,
    features: Option<Features>,
    verdict: Option<Verdict>,
    planned: Planned,
    arena: AlignedBuffer,
    /// The device that runs the model instead of this processor.
    remote: Option<Remote<'p>>,
    progress: Progress,
    preprocessor: Option<Preprocessor>,
    /// Codes of one row and channel on their way to the arena.
    line: Vec<u8>,
    model_mask: Vec<u8>,
    model_confidence: Vec<u16>,
    /// The result in the frame's own pixels; empty where those are the model's.
    mask: Vec<u8>,
    confidence: Vec<u16>,
    spans: [Vec<Span>; 2],
    extent: [usize; 2],
    /// Rows of the frame that were pushed so far.
    received: usize,
    /// Channels and full scale of those rows.
    received_form: (usize, u16),
    options: SessionOptions,
    digest: [u8; 32],
}

impl<'p> Session<'p> {
    /// Checks the plan, the budget and the tier, and allocates the arena.
    ///
    /// # Errors
    /// [`ErrorKind::Package`], [`ErrorKind::Device`] for an absent tier, [`ErrorKind::Memory`] naming the
    /// least budget that would do.
    pub fn new(package: &'p Package, options: &SessionOptions) -> Result<Self, Error> {
        Self::build(package, options, None)
    }

    /// The same on a device that has the package's plan loaded, with its tables; this processor still
    /// prepares frames and judges them.
    ///
    /// # Errors
    /// As [`Session::new`]; the budget covers the device's memory too.
    ///
    /// # Exactness
    /// Findings are those of [`Session::new`], byte for byte.
    pub fn on_device(
        package: &'p Package,
        options: &SessionOptions,
        backend: Box<dyn Backend + 'p>,
    ) -> Result<Self, Error> {
        Self::build(package, options, Some(backend))
    }

    fn build(
        package: &'p Package,
        options: &SessionOptions,
        backend: Option<Box<dyn Backend + 'p>>,
    ) -> Result<Self, Error> {
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
        let mut preprocessor = Preprocessor::new(settings, input.layout, input.scale, input.zero_point).ok();
        if options.streaming
            && let Some(preprocessor) = preprocessor.as_mut()
        {
            preprocessor.expect_rows();
        }
        let pixels = output.layout.height * output.layout.width;
        let remote = backend.map(|backend| Remote::new(backend, &plan, options.keep_output)).transpose()?;
        let mut session = Self {
            view,
            plan,
            head,
            uncalibrated,
            calibrated,
            pair: PairTable::new(&head, &calibrated.unwrap_or(uncalibrated)).map(Box::new),
            kernels,
            detector: None,
            features: None,
            verdict: None,
            planned: Planned::default(),
            arena: AlignedBuffer::default(),
            remote,
            progress: Progress::default(),
            preprocessor,
            line: vec![0; input.layout.width],
            model_mask: vec![0; pixels],
            model_confidence: vec![0; pixels],
            mask: Vec::new(),
            confidence: Vec::new(),
            spans: Default::default(),
            extent: [0; 2],
            received: 0,
            received_form: (0, 0),
            options: *options,
            digest: [0; 32],
        };
        session.fit([input.layout.height, input.layout.width])?;
        if let Some(section) = view.section(Section::Ood) {
            let profile = Profile::parse(section, &plan)?;
            session.tap(&profile.places)?;
            session.detector = Some(Detector::new(profile));
        }
        Ok(session)
    }

    /// Takes features of every frame at `places`.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] when a step does not exist.
    pub fn tap(&mut self, places: &[TapPlace]) -> Result<(), Error> {
        let channels = self.plan.tensor(0)?.layout.channels.min(3);
        let features = self.features.insert(Features::new(&self.plan, places, channels)?);
        if let Some(remote) = self.remote.as_mut() {
            remote.tap(features.taps());
        }
        Ok(())
    }

    /// Takes no features and gives no verdicts from now on, as if the package had no profile: for
    /// measurements.
    pub fn stop_judging(&mut self) {
        (self.detector, self.features, self.verdict) = (None, None, None);
        if let Some(remote) = self.remote.as_mut() {
            remote.tap(&[]);
        }
    }

    /// The features of the last frame, when steps are tapped.
    pub const fn features(&self) -> Option<&Features> {
        self.features.as_ref()
    }

    /// How the session runs the plan.
    pub const fn planned(&self) -> &Planned {
        &self.planned
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan<'p> {
        &self.plan
    }

    /// The head.
    pub const fn head(&self) -> &Head<'p> {
        &self.head
    }

    /// The out-of-distribution profile, when the package has one.
    pub fn profile(&self) -> Option<&Profile<'p>> {
        self.detector.as_ref().map(Detector::profile)
    }

    /// The package.
    pub const fn package(&self) -> &View<'p> {
        &self.view
    }

    /// Runs `rounds` of the tier's products in registers alone on one thread and returns their number; over
    /// the time taken that is the roof of one core. Zero for the reference.
    pub fn roof_products(&self, rounds: usize) -> u64 {
        self.kernels.roof_products(rounds)
    }

    /// The device that runs the model: `cpu`, or the backend's name.
    pub fn device(&self) -> String {
        self.remote.as_ref().map_or_else(|| "cpu".into(), Remote::name)
    }

    /// Gives up the device, such as a lost one, and runs the model on this processor from now on; says the
    /// name of the device, or `None` when there was none.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] when the budget does not do for that; the session is then of no use.
    ///
    /// # Exactness
    /// Findings stay the same, byte for byte.
    pub fn leave_device(&mut self) -> Result<Option<String>, Error> {
        let Some(remote) = self.remote.take() else { return Ok(None) };
        self.progress = Progress::default();
        let input = self.plan.tensor(0)?.layout;
        let extent = if self.spans[0].is_empty() { [input.height, input.width] } else { self.extent };
        self.fit(extent)?;
        Ok(Some(remote.name()))
    }

    /// The kernels' tier.
    pub fn tier(&self) -> Tier {
        self.kernels.tier()
    }

    /// Lowers every confidence of the last finding that is above `cap`, in 1/65535, to it.
    pub fn cap_confidence(&mut self, cap: u16) {
        if cap < u16::MAX {
            let placed = !self.mask.is_empty();
            let confidence = if placed { &mut self.confidence } else { &mut self.model_confidence };
            confidence.iter_mut().for_each(|value| *value = (*value).min(cap));
        }
    }

    /// The last finding again; of no meaning before the first.
    pub fn last_finding(&self) -> Finding<'_> {
        self.finding()
    }

    fn tables(&self) -> &Tables<'p> {
        self.calibrated.as_ref().unwrap_or(&self.uncalibrated)
    }

    /// Puts the confidence of the last finding through `maps`, once, and returns the finding again. The mask
    /// stays; nothing is allocated.
    pub fn remap(&mut self, maps: &ConfidenceMaps) -> Finding<'_> {
        if self.mask.is_empty() {
            maps.apply(&self.model_mask, &mut self.model_confidence);
        } else {
            maps.apply(&self.mask, &mut self.confidence);
        }
        self.finding()
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
            mask: if self.mask.is_empty() { &self.model_mask } else { &self.mask },
            confidence: if self.mask.is_empty() { &self.model_confidence } else { &self.confidence },
            calibration,
            ood: self.verdict,
            digest: self.digest,
        }
    }
}

#[cfg(test)]
mod tests;
