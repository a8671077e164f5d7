//! Frames on a device: a plan, its constants and its arena there, and what comes back.

use crate::cpu;
use crate::error::GpuError;
use crate::program::Program;
use crate::target::Target;
use crate::work::{Operation, Part, Work};
use candle_core::{DType, Device, Tensor};
use candor::Roofs;
use candor::ood::features::Tap;
use candor_core::calibration::Tables;
use candor_core::package::Head;
use candor_core::plan::Plan;
use candor_cpu::{CpuKernels, Tier};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "cuda")]
use crate::cuda::{free_bytes, used_bytes};

/// Page-locked bytes beside a device.
const fn staging(target: Target) -> usize {
    match target {
        #[cfg(feature = "cuda")]
        Target::Cuda(_) => crate::staging::STAGING,
        _ => 0,
    }
}

/// Free bytes are known of a CUDA device alone.
#[cfg(not(feature = "cuda"))]
fn free_bytes(_: &Device) -> candle_core::Result<Option<usize>> {
    Ok(None)
}

/// So are those in use.
#[cfg(not(feature = "cuda"))]
fn used_bytes(_: &Device) -> candle_core::Result<Option<usize>> {
    Ok(None)
}

/// Allocations take a multiple of so many bytes.
const ALLOCATION: usize = 512;

/// Held while a device's memory is taken.
static LOADING: Mutex<()> = Mutex::new(());

/// How an executor runs.
#[derive(Debug, Clone, Copy)]
pub struct ExecutorOptions {
    /// The device; another is never used in its place.
    pub target: Target,
    /// Greatest number of bytes of device memory.
    pub memory: Option<usize>,
    /// Kernel tier on Candle's CPU device; the best available when `None`.
    pub tier: Option<Tier>,
    /// Threads there.
    pub threads: usize,
}

/// A plan on a device. Everything is allocated by [`Executor::new`]; frames allocate nothing.
pub struct Executor<'p> {
    parts: Parts<'p>,
    target: Target,
    /// The arena by its first byte: operations reach all of its storage, and Candle makes a list of the
    /// longer axes of a layout at every call.
    arena: Tensor,
    constants: Tensor,
}

/// What the work on each device needs to know.
pub struct Parts<'p> {
    /// The plan.
    pub plan: Plan<'p>,
    /// How output becomes mask and confidence.
    pub head: Option<(Head<'p>, Tables<'p>)>,
    /// The outputs that frames can sum.
    pub taps: Vec<Tap>,
    /// The plan as launches.
    pub program: Program,
    /// The kernels of Candle's CPU device.
    pub kernels: CpuKernels,
    /// The compiled kernels of a CUDA device.
    #[cfg(feature = "cuda")]
    pub cuda: Option<crate::cuda::Functions>,
    /// The compiled kernels of a Metal device.
    #[cfg(feature = "metal")]
    pub metal: Option<crate::metal::Pipelines>,
}

impl<'p> Executor<'p> {
    /// Opens the device and loads the plan; with a head, frames end in mask and confidence, and `taps` can be
    /// summed on the way.
    ///
    /// # Errors
    /// [`GpuError::Unavailable`] when the device is absent, [`GpuError::Memory`] when the budget is too
    /// small, before anything is loaded, [`GpuError::Lost`] when the device fails meanwhile.
    pub fn new(
        plan: Plan<'p>,
        head: Option<(Head<'p>, Tables<'p>)>,
        taps: Vec<Tap>,
        options: &ExecutorOptions,
    ) -> Result<Self, GpuError> {
        let target = options.target;
        let program = Program::new(&plan, head.as_ref().map(|(head, tables)| (head, tables)), &taps)?;
        let allocations = [program.regions.bytes + cpu::SPARE, program.constants.len()];
        let bytes = allocations.iter().map(|bytes| bytes.next_multiple_of(ALLOCATION)).sum::<usize>();
        let budget = options.memory.unwrap_or(usize::MAX).min(u32::MAX as usize);
        let beside = staging(target);
        if bytes + beside > budget {
            return Err(GpuError::Memory { needed: bytes + beside, budget });
        }
        let device = target.open()?;
        let lost = |error: candle_core::Error| lost(target, &error);
        let [arena, constants] = load(&program, &device, target, bytes, budget - beside)?;
        let kernels =
            CpuKernels::new(options.tier.unwrap_or_else(Tier::best), options.threads.max(1)).map_err(
                |error| GpuError::Unavailable { device: target.to_string(), reason: error.to_string() },
            )?;
        let parts = Parts {
            #[cfg(feature = "cuda")]
            cuda: crate::cuda::Functions::load(&device, &program).map_err(lost)?,
            #[cfg(feature = "metal")]
            metal: crate::metal::Pipelines::load(&device, program.regions.channels).map_err(lost)?,
            plan,
            head,
            taps,
            program,
            kernels,
        };
        let arena = arena.narrow(0, 0, 1).map_err(lost)?;
        Ok(Self { parts, target, arena, constants })
    }

    /// Bytes it holds, on the device and page-locked beside it.
    pub fn bytes(&self) -> usize {
        let held = self.parts.program.regions.bytes + cpu::SPARE + self.constants.elem_count();
        held + staging(self.target)
    }

    /// The device.
    pub const fn target(&self) -> Target {
        self.target
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan<'p> {
        &self.parts.plan
    }

    /// Runs planar codes `[C,H,W]`, one slice per input, through the whole plan and the head.
    ///
    /// # Errors
    /// [`GpuError::Input`] for another number of inputs or codes, [`GpuError::Lost`] when the device fails.
    ///
    /// # Exactness
    /// Every byte of every tensor equals that of the reference kernels, on any device.
    pub fn run(&mut self, inputs: &[&[u8]]) -> Result<(), GpuError> {
        let count = self.parts.program.regions.inputs.len();
        if inputs.len() != count {
            let reason = format!("the model takes {count} inputs, not {}", inputs.len());
            return Err(GpuError::Input { reason });
        }
        let mut inputs = inputs.iter().enumerate();
        inputs.try_for_each(|(input, codes)| self.load(input, codes))?;
        self.frame(false)
    }

    /// Brings planar codes `[C,H,W]` of one input.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn load(&mut self, input: usize, codes: &[u8]) -> Result<(), GpuError> {
        let region = self.parts.program.regions.inputs.get(input).map_or(0, ExactSizeIterator::len);
        if codes.len() != region {
            let reason = format!("input {input} takes {region} codes, not {}", codes.len());
            return Err(GpuError::Input { reason });
        }
        self.perform(Work::Load { input, codes })
    }

    /// All steps and the output's values, and class and confidence of every pixel where there is a head; when
    /// `tapped` the taps' sums on the way.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when the device fails.
    pub fn frame(&mut self, tapped: bool) -> Result<(), GpuError> {
        self.perform(Work::Frame { tapped })
    }

    /// Returns once the device has done all that it was given.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when the device fails.
    pub fn wait(&self) -> Result<(), GpuError> {
        self.perform(Work::Wait)
    }

    /// What a CUDA device does at most, measured now, for which 256 MiB of its memory are taken beside the
    /// budget; `None` for another.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when the device fails.
    pub fn roofs(&self) -> Result<Option<Roofs>, GpuError> {
        #[cfg(feature = "cuda")]
        if matches!(self.target, Target::Cuda(_)) {
            let products = crate::roof::products(|rounds| {
                self.perform(Work::Roof(rounds))?;
                self.wait()
            })?;
            let bytes = crate::roof::bytes(self.arena.device()).map_err(|error| lost(self.target, &error))?;
            return Ok(Some(Roofs { products, bytes }));
        }
        Ok(None)
    }

    /// The outputs that frames can sum.
    pub fn taps(&self) -> &[Tap] {
        &self.parts.taps
    }

    /// Copies what the last tapped frame summed, [`Tap::words`] numbers of each tap in order.
    ///
    /// # Errors
    /// [`GpuError::Input`] when `words` are not as many, [`GpuError::Lost`] when the device fails.
    pub fn read_taps(&self, words: &mut [u64]) -> Result<(), GpuError> {
        self.read([(self.parts.program.regions.taps.clone(), bytemuck::cast_slice_mut(words))])
    }

    /// Class and confidence of every pixel and the output's values, after all steps were run.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when the device fails.
    pub fn end(&mut self) -> Result<(), GpuError> {
        self.perform(Work::End)
    }

    /// Runs some steps of the plan, for a look at what each leaves.
    ///
    /// # Errors
    /// [`GpuError::Input`] when there are no such steps, [`GpuError::Lost`] when the device fails.
    pub fn steps(&mut self, steps: Range<usize>) -> Result<(), GpuError> {
        if steps.start > steps.end || steps.end > self.parts.plan.steps() {
            let reason = format!("the plan has {} steps, not {steps:?}", self.parts.plan.steps());
            return Err(GpuError::Input { reason });
        }
        self.perform(Work::Steps(steps))
    }

    /// Copies the stored bytes of a tensor, halo included, as its layout says.
    ///
    /// # Errors
    /// [`GpuError::Input`] when `into` is not as long as the tensor, [`GpuError::Lost`] when the device
    /// fails, [`GpuError::Plan`] when there is no such tensor.
    pub fn read_tensor(&self, index: usize, into: &mut [u8]) -> Result<(), GpuError> {
        let tensor = self.parts.plan.tensor(index)?;
        self.read([(tensor.range(), into)])
    }

    /// Copies the class and the confidence, in 1/65535, of every pixel, row-major, and the output's values
    /// unless `output` is empty: rows, columns, channels; codes in one byte, accumulators in four,
    /// little-endian.
    ///
    /// # Errors
    /// [`GpuError::Input`] when the slices are not as long as the output says or there is no head,
    /// [`GpuError::Lost`] when the device fails.
    pub fn read_finding(
        &self,
        mask: &mut [u8],
        confidence: &mut [u16],
        output: &mut [u8],
    ) -> Result<(), GpuError> {
        let regions = &self.parts.program.regions;
        let wanted = if output.is_empty() { 0..0 } else { regions.output.clone() };
        self.read([
            (regions.mask.clone(), mask),
            (regions.confidence.clone(), bytemuck::cast_slice_mut(confidence)),
            (wanted, output),
        ])
    }

    fn read<const N: usize>(&self, parts: [(Range<usize>, &mut [u8]); N]) -> Result<(), GpuError> {
        if let Some((range, into)) = parts.iter().find(|(range, into)| range.len() != into.len()) {
            let reason = format!("{} bytes are to be read into {}", range.len(), into.len());
            return Err(GpuError::Input { reason });
        }
        let mut parts = parts.map(|(range, into)| Part { from: range.start, into });
        self.perform(Work::Read(RefCell::new(&mut parts)))
    }

    fn perform(&self, work: Work<'_>) -> Result<(), GpuError> {
        let operation = Operation { parts: &self.parts, work };
        let outcome = self.arena.inplace_op2(&self.constants, &operation);
        outcome.map_err(|error| lost(self.target, &error))
    }
}

/// Allocates the arena and brings the constants, `bytes` together, when the device has so many free; what was
/// taken is checked against the budget, too.
fn load(
    program: &Program,
    device: &Device,
    target: Target,
    bytes: usize,
    budget: usize,
) -> Result<[Tensor; 2], GpuError> {
    let lost = |error: candle_core::Error| lost(target, &error);
    // One at a time, so that what was taken is this one's.
    let _own = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(free) = free_bytes(device).map_err(lost)?.filter(|free| *free < bytes) {
        return Err(GpuError::Memory { needed: bytes, budget: free });
    }
    let before = used_bytes(device).map_err(lost)?;
    let arena = Tensor::zeros(program.regions.bytes + cpu::SPARE, DType::U8, device).map_err(lost)?;
    let constants = match device {
        // The kernels there read the package's own constants.
        Device::Cpu => Tensor::zeros(1, DType::U8, device),
        _ => Tensor::from_slice(&program.constants, program.constants.len(), device),
    };
    let constants = constants.map_err(lost)?;
    if let (Some(before), Some(after)) = (before, used_bytes(device).map_err(lost)?) {
        let needed = after.saturating_sub(before);
        if needed > budget {
            return Err(GpuError::Memory { needed, budget });
        }
    }
    Ok([arena, constants])
}

fn lost(target: Target, error: &candle_core::Error) -> GpuError {
    GpuError::Lost { device: target.to_string(), reason: error.to_string() }
}
