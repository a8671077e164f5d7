//! The work on a CUDA device: the compiled kernels on Candle's stream, a whole frame as one graph.

use crate::program::{Item, Program};
use crate::staging::Staging;
use crate::step::{Kernel, Launch, Step};
use crate::work::{Operation, Work};
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::result;
use candle_core::cuda_backend::cudarc::driver::sys::{
    CUgraphInstantiate_flags, CUmemPool_attribute, CUstreamCaptureMode,
};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaGraph, CudaSlice, CudaStream, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::{CudaStorage, Device, Result, bail};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Launches of a kernel whose time is taken together.
const MEASURED: u32 = 16;

/// The kernels for every architecture, as `build.rs` compiles them.
const IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/candor.fatbin"));

// SAFETY: a Step is plain words without padding (it is `Pod`), and the kernels declare the same fields in the
// same order.
unsafe impl DeviceRepr for Step {}

/// The compiled kernels, and a frame's graph once it was captured.
pub struct Functions {
    stream: Arc<CudaStream>,
    all: Vec<CudaFunction>,
    /// Of each item, which of its launches is fast here, once that was measured.
    chosen: RefCell<Vec<Option<Launch>>>,
    staging: RefCell<Staging>,
    /// Without taps, and with them.
    frames: RefCell<[Option<CudaGraph>; 2]>,
}

/// Opens CUDA device `number` with a stream of its own, which a graph can be captured from.
///
/// # Errors
/// Those of the driver.
pub fn open(number: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(number)?;
    // SAFETY: an executor's tensors are used on this one stream alone, in order.
    unsafe { device.as_cuda_device()?.disable_event_tracking() };
    Ok(device)
}

/// Free bytes of the device's memory; `None` for another device.
///
/// # Errors
/// Those of the driver.
pub fn free_bytes(device: &Device) -> Result<Option<usize>> {
    let Device::Cuda(device) = device else { return Ok(None) };
    let (free, _) = device.cuda_stream().context().mem_get_info().w()?;
    Ok(Some(free))
}

/// Bytes in use in the pool that a device's memory is allocated from; `None` for another device, or one
/// without pools.
///
/// # Errors
/// Those of the driver.
pub fn used_bytes(device: &Device) -> Result<Option<usize>> {
    let Device::Cuda(device) = device else { return Ok(None) };
    let stream = device.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(None);
    }
    let (attribute, mut used) = (CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT, 0_u64);
    // SAFETY: the device is that of a context, its pool lives as long, and the attribute is a 64-bit number.
    unsafe {
        let pool = result::device::get_mem_pool(context.cu_device()).w()?;
        result::mem_pool::get_attribute(pool, attribute, (&raw mut used).cast()).w()?;
    }
    Ok(Some(used as usize))
}

impl Functions {
    /// Loads the kernels for `program`; `None` for another device.
    ///
    /// # Errors
    /// Those of the driver, such as an architecture that the artefact lacks.
    pub fn load(device: &Device, program: &Program) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else { return Ok(None) };
        let stream = device.cuda_stream();
        let module = stream.context().load_module(Ptx::from_binary(IMAGE.to_vec())).w()?;
        let all: std::result::Result<Vec<_>, _> =
            Kernel::NAMES.iter().chain(&Kernel::CUDA_NAMES).map(|name| module.load_function(name)).collect();
        Ok(Some(Self {
            staging: RefCell::new(Staging::new(&stream)?),
            stream,
            all: all.w()?,
            chosen: RefCell::new(vec![None; program.items.len()]),
            frames: RefCell::new([None, None]),
        }))
    }

    fn launch(&self, launch: &Launch, arena: &mut CudaSlice<u8>, constants: &CudaSlice<u8>) -> Result<()> {
        let [width, height] = launch.block();
        let config = LaunchConfig {
            grid_dim: launch.blocks().into(),
            block_dim: (width, height, 1),
            shared_mem_bytes: 0,
        };
        let Some(function) = self.all.get(launch.kernel as usize) else { bail!("no such kernel") };
        let mut builder = self.stream.launch_builder(function);
        builder.arg(arena).arg(constants).arg(&launch.step);
        // SAFETY: the arguments are those that every kernel declares. All offsets in the step were made from
        // a checked plan and lie within the arena and the constants; positions beyond the grid return.
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    }

    /// The launch that is fast here, of the ways there are to an item's numbers; measured when it is first
    /// run, for which of them is depends on the card and on the layer.
    fn choose(
        &self,
        item: usize,
        launch: &Launch,
        arena: &mut CudaSlice<u8>,
        constants: &CudaSlice<u8>,
    ) -> Result<Launch> {
        let Some(other) = launch.on_matrices() else { return Ok(*launch) };
        let mut chosen = self.chosen.borrow_mut();
        let Some(chosen) = chosen.get_mut(item) else { return Ok(*launch) };
        if let Some(chosen) = chosen {
            return Ok(*chosen);
        }
        let mut fastest = (*launch, Duration::MAX);
        for launch in [*launch, other] {
            // The first brings codes and weights into the caches.
            self.launch(&launch, arena, constants)?;
            self.stream.synchronize().w()?;
            let start = Instant::now();
            for _ in 0..MEASURED {
                self.launch(&launch, arena, constants)?;
            }
            self.stream.synchronize().w()?;
            let time = start.elapsed();
            if time < fastest.1 {
                fastest = (launch, time);
            }
        }
        Ok(*chosen.insert(fastest.0))
    }

    fn run(
        &self,
        operation: &Operation<'_, '_, '_>,
        items: Range<usize>,
        tapped: bool,
        arena: &mut CudaSlice<u8>,
        constants: &CudaSlice<u8>,
    ) -> Result<()> {
        for index in items {
            match &operation.parts.program.items[index] {
                Item::Tap(_) if !tapped => {}
                Item::Launch(launch) | Item::Tap(launch) | Item::Coefficients { launch, .. } => {
                    let launch = self.choose(index, launch, arena, constants)?;
                    self.launch(&launch, arena, constants)?;
                }
            }
        }
        Ok(())
    }

    /// Everything of a frame: captured once as a graph.
    fn frame(
        &self,
        operation: &Operation<'_, '_, '_>,
        tapped: bool,
        arena: &mut CudaSlice<u8>,
        constants: &CudaSlice<u8>,
    ) -> Result<()> {
        let all = 0..operation.parts.program.items.len();
        let frame = &mut self.frames.borrow_mut()[usize::from(tapped)];
        if frame.is_none() {
            // Whatever is to be measured is, before a capture, which holds nothing but launches.
            self.run(operation, all.clone(), tapped, arena, constants)?;
            let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            self.stream.begin_capture(mode).w()?;
            let outcome = self.run(operation, all, tapped, arena, constants);
            // A capture is ended whatever happened in it.
            let graph = self.stream.end_capture(CUgraphInstantiate_flags(0)).w();
            outcome?;
            *frame = graph?;
        }
        match frame.as_ref() {
            Some(graph) => graph.launch().w(),
            None => bail!("the driver captured nothing"),
        }
    }
}

/// Carries out `operation`.
pub fn perform(
    operation: &Operation<'_, '_, '_>,
    arena: &mut CudaStorage,
    constants: &CudaStorage,
) -> Result<()> {
    let parts = operation.parts;
    let Some(functions) = &parts.cuda else { bail!("the kernels are not loaded") };
    let arena = arena.as_cuda_slice_mut::<u8>()?;
    let constants = constants.as_cuda_slice::<u8>()?;
    match &operation.work {
        Work::Load { input, codes } => {
            let to = parts.program.regions.inputs[*input].start;
            functions.staging.borrow_mut().bring(codes, to, arena)
        }
        Work::Steps(steps) => {
            functions.run(operation, parts.program.items_of(steps), false, arena, constants)
        }
        Work::End => functions.run(operation, parts.program.end(), false, arena, constants),
        Work::Frame { tapped } => functions.frame(operation, *tapped, arena, constants),
        Work::Wait => functions.stream.synchronize().w(),
        Work::Roof(rounds) => functions.launch(&crate::roof::launch(*rounds), arena, constants),
        Work::Read(wanted) => functions.staging.borrow_mut().fetch(&mut wanted.borrow_mut(), arena),
    }
}
