//! Sessions of the engine on Candle's devices.

use crate::error::GpuError;
use crate::executor::{Executor, ExecutorOptions};
use crate::target::Target;
use candor::ood::features::{TAP_LIMIT, Tap};
use candor::ood::profile::Profile;
use candor::{Backend, Error, ErrorKind, Package, Roofs, Session, SessionOptions};
use candor_core::calibration::Tables;
use candor_core::package::Section;
use std::ops::Range;

/// A session whose model runs on `target`; everything else is the engine's.
///
/// # Errors
/// [`ErrorKind::Device`] when the device is absent, [`ErrorKind::Memory`] when the budget or the device's
/// memory is too small, [`ErrorKind::Package`] as [`Session::new`].
///
/// # Exactness
/// Findings are those of [`Session::new`], byte for byte.
pub fn open<'p>(
    package: &'p Package,
    options: &SessionOptions,
    target: Target,
) -> Result<Session<'p>, Error> {
    let view = package.view()?;
    let head = view.head()?;
    let tables = match view.section(Section::Calibration) {
        Some(section) => Tables::parse(section, &head)?.0,
        None => Tables::uncalibrated(&head),
    };
    let own =
        ExecutorOptions { target, memory: options.memory, tier: options.tier, threads: options.threads };
    let plan = view.plan()?;
    let places = match view.section(Section::Ood) {
        Some(section) => Profile::parse(section, &plan)?.places,
        None => Vec::new(),
    };
    let taps = places.into_iter().take(TAP_LIMIT).map(|place| Tap::new(&plan, place));
    let taps = taps.collect::<Result<Vec<_>, _>>()?;
    let executor = Executor::new(plan, Some((head, tables)), taps, &own)?;
    Session::on_device(package, options, Box::new(executor))
}

impl From<GpuError> for Error {
    fn from(error: GpuError) -> Self {
        let kind = match error {
            GpuError::Unavailable { .. } | GpuError::Lost { .. } => ErrorKind::Device,
            GpuError::Memory { .. } => ErrorKind::Memory,
            GpuError::Input { .. } => ErrorKind::Input,
            GpuError::Plan(_) => ErrorKind::Package,
        };
        Self::new(kind, error.to_string())
    }
}

impl Backend for Executor<'_> {
    fn name(&self) -> String {
        self.target().to_string()
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn load(&mut self, input: usize, codes: &[u8]) -> Result<(), Error> {
        Ok(self.load(input, codes)?)
    }

    fn steps(&mut self, steps: Range<usize>) -> Result<(), Error> {
        Ok(self.steps(steps)?)
    }

    fn end(&mut self) -> Result<(), Error> {
        Ok(self.end()?)
    }

    fn frame(&mut self, tapped: bool) -> Result<(), Error> {
        Ok(self.frame(tapped)?)
    }

    fn wait(&mut self) -> Result<(), Error> {
        Ok(Executor::wait(self)?)
    }

    fn roofs(&mut self) -> Result<Option<Roofs>, Error> {
        Ok(Executor::roofs(self)?)
    }

    fn taps(&self) -> &[Tap] {
        Executor::taps(self)
    }

    fn read_taps(&mut self, words: &mut [u64]) -> Result<(), Error> {
        Ok(Executor::read_taps(self, words)?)
    }

    fn read_tensor(&mut self, tensor: usize, into: &mut [u8]) -> Result<(), Error> {
        Ok(Executor::read_tensor(self, tensor, into)?)
    }

    fn read_finding(
        &mut self,
        mask: &mut [u8],
        confidence: &mut [u16],
        output: &mut [u8],
    ) -> Result<(), Error> {
        Ok(Executor::read_finding(self, mask, confidence, output)?)
    }
}
