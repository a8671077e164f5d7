//! The work on a Metal device: kernels compiled with fast math off, a frame's launches in one go.

use crate::error::candle;
use crate::program::Item;
use crate::step::{Kernel, Launch};
use crate::work::{Operation, Work};
use candle_core::{Device, MetalDevice, MetalError, MetalStorage, Result, bail};
use candle_metal_kernels::MetalKernelError;
use candle_metal_kernels::metal::{Buffer, ComputePipeline};
use candor_core::ops::group_norm::Affine;
use objc2_metal::{MTLCompileOptions, MTLSize};
use std::cell::RefCell;
use std::ops::Range;

/// The compiled kernels.
pub struct Pipelines {
    device: MetalDevice,
    all: Vec<ComputePipeline>,
    sums: RefCell<Vec<[u64; 2]>>,
    affine: RefCell<Vec<Affine>>,
}

/// The kernels as one text: a text compiled at run time includes no files.
fn source() -> String {
    include_str!("../kernels/candor.metal")
        .replace("#include \"steps.h\"", include_str!("../kernels/steps.h"))
        .replace("#include \"taps.h\"", include_str!("../kernels/taps.h"))
        .replace("#include \"head.h\"", include_str!("../kernels/head.h"))
}

fn failed(error: MetalKernelError) -> candle_core::Error {
    MetalError::from(error).into()
}

impl Pipelines {
    /// Compiles the kernels; `None` for another device. `channels` is the greatest number that is normalised.
    ///
    /// # Errors
    /// Those of the compiler and the device.
    pub fn load(device: &Device, channels: usize) -> Result<Option<Self>> {
        let Device::Metal(device) = device else { return Ok(None) };
        let options = MTLCompileOptions::new();
        // Fast math fuses and reorders; its successor, a choice of modes, is not on every system.
        #[expect(deprecated, reason = "the mode is not on every system")]
        options.setFastMathEnabled(false);
        let raw = device.device();
        let library = raw.new_library_with_source(&source(), Some(&options)).map_err(failed)?;
        let mut all = Vec::with_capacity(Kernel::NAMES.len());
        for name in Kernel::NAMES {
            let function = library.get_function(name, None).map_err(failed)?;
            all.push(raw.new_compute_pipeline_state_with_function(&function).map_err(failed)?);
        }
        let sums = RefCell::new(vec![[0; 2]; channels]);
        let affine = RefCell::new(vec![bytemuck::Zeroable::zeroed(); channels]);
        Ok(Some(Self { device: device.clone(), all, sums, affine }))
    }

    fn launch(&self, launch: &Launch, arena: &Buffer, constants: &Buffer) -> Result<()> {
        let [columns, rows, depth] = launch.grid;
        let [width, height] = launch.block();
        let Some(pipeline) = self.all.get(launch.kernel as usize) else { bail!("no such kernel") };
        let commands = self.device.command_encoder()?;
        let encoder = commands.as_ref();
        encoder.set_compute_pipeline_state(pipeline);
        encoder.set_output_buffer(0, Some(arena), 0);
        encoder.set_input_buffer(1, Some(constants), 0);
        encoder.set_bytes(2, &launch.step);
        let size = |width: u32, height: u32, depth: u32| MTLSize {
            width: width as usize,
            height: height as usize,
            depth: depth as usize,
        };
        encoder.dispatch_threads(size(columns, rows, depth), size(width, height, 1));
        Ok(())
    }

    /// Slopes and offsets of a normalisation, on the host from the device's sums.
    fn coefficients(&self, operation: &Operation<'_, '_, '_>, step: usize, arena: &Buffer) -> Result<()> {
        let (plan, regions) = (&operation.parts.plan, &operation.parts.program.regions);
        let (mut sums, mut affine) = (self.sums.borrow_mut(), self.affine.borrow_mut());
        let channels = crate::program::normalised(plan, step).map_err(candle)?;
        let (sums, affine) = (&mut sums[..channels], &mut affine[..channels]);
        self.copy_out(arena, regions.channel_sums as usize, bytemuck::cast_slice_mut(sums))?;
        crate::program::coefficients(plan, step, sums, affine).map_err(candle)?;
        self.copy_in(arena, regions.affine as usize, bytemuck::cast_slice(affine))
    }

    fn run(
        &self,
        operation: &Operation<'_, '_, '_>,
        items: Range<usize>,
        tapped: bool,
        arena: &Buffer,
        constants: &Buffer,
    ) -> Result<()> {
        for item in &operation.parts.program.items[items] {
            match item {
                Item::Launch(launch) => self.launch(launch, arena, constants)?,
                Item::Tap(launch) if tapped => self.launch(launch, arena, constants)?,
                Item::Tap(_) => {}
                Item::Coefficients { step, .. } => self.coefficients(operation, *step, arena)?,
            }
        }
        Ok(())
    }

    /// Writes bytes of the arena once the device has ended all it was given.
    fn copy_in(&self, arena: &Buffer, to: usize, bytes: &[u8]) -> Result<()> {
        self.check(arena, to, bytes.len())?;
        self.device.flush_and_wait_current()?;
        // SAFETY: the buffer is shared with the host and holds the range, as checked; the device is idle.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), arena.contents().add(to), bytes.len()) };
        Ok(())
    }

    /// Reads bytes of the arena once the device has ended all it was given.
    fn copy_out(&self, arena: &Buffer, from: usize, into: &mut [u8]) -> Result<()> {
        self.check(arena, from, into.len())?;
        self.device.flush_and_wait_current()?;
        // SAFETY: the buffer is shared with the host and holds the range, as checked; the device is idle.
        unsafe { std::ptr::copy_nonoverlapping(arena.contents().add(from), into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn check(&self, arena: &Buffer, start: usize, bytes: usize) -> Result<()> {
        if start + bytes > arena.length() {
            bail!("bytes {start}..{} are beyond the arena", start + bytes);
        }
        Ok(())
    }
}

/// Carries out `operation`.
///
/// # Errors
/// Those of the device.
pub fn perform(
    operation: &Operation<'_, '_, '_>,
    arena: &mut MetalStorage,
    constants: &MetalStorage,
) -> Result<()> {
    let parts = operation.parts;
    let Some(pipelines) = &parts.metal else { bail!("the kernels are not compiled") };
    let (arena, constants) = (arena.buffer(), constants.buffer());
    let items = parts.program.items.len();
    match &operation.work {
        Work::Load { input, codes } => {
            pipelines.copy_in(arena, parts.program.regions.inputs[*input].start, codes)
        }
        Work::Steps(steps) => {
            pipelines.run(operation, parts.program.items_of(steps), false, arena, constants)
        }
        Work::End => pipelines.run(operation, parts.program.end(), false, arena, constants),
        Work::Frame { tapped } => pipelines.run(operation, 0..items, *tapped, arena, constants),
        Work::Wait => pipelines.device.flush_and_wait_current(),
        #[cfg(feature = "cuda")]
        Work::Roof(_) => bail!("its roof is not measured here"),
        Work::Read(wanted) => {
            let mut wanted = wanted.borrow_mut();
            wanted.iter_mut().try_for_each(|part| pipelines.copy_out(arena, part.from, part.into))
        }
    }
}
