//! What is done to the arena, as one in-place operation of Candle's on each of its devices.

use crate::executor::Parts;
use candle_core::{CpuStorage, CudaStorage, InplaceOp2, Layout, MetalStorage, Result, bail};
use std::cell::RefCell;
use std::ops::Range;

/// A part of a frame's work.
pub enum Work<'w> {
    /// Brings planar codes of an input.
    Load {
        /// Which input.
        input: usize,
        /// `[C,H,W]`.
        codes: &'w [u8],
    },
    /// Runs steps of the plan.
    Steps(Range<usize>),
    /// Makes mask and confidence of the output and gathers its values.
    End,
    /// Runs all steps, then makes mask and confidence of the output and gathers its values.
    Frame {
        /// Whether taps are summed on the way.
        tapped: bool,
    },
    /// Waits until the device has done all that it was given.
    Wait,
    /// Multiplies in registers alone, so many rounds.
    #[cfg(feature = "cuda")]
    Roof(u32),
    /// Copies parts of the arena to the host.
    Read(RefCell<&'w mut [Part<'w>]>),
}

/// Bytes that come to the host.
pub struct Part<'w> {
    /// The first one in the arena.
    pub from: usize,
    /// Where to.
    pub into: &'w mut [u8],
}

/// Work on the arena of an executor; the second operand holds the constants.
pub struct Operation<'e, 'w, 'p> {
    /// Whose.
    pub parts: &'e Parts<'p>,
    /// What.
    pub work: Work<'w>,
}

impl InplaceOp2 for Operation<'_, '_, '_> {
    fn name(&self) -> &'static str {
        match self.work {
            Work::Load { .. } => "candor-load",
            Work::Steps(_) => "candor-steps",
            Work::End => "candor-end",
            Work::Frame { .. } => "candor-frame",
            Work::Wait => "candor-wait",
            #[cfg(feature = "cuda")]
            Work::Roof(_) => "candor-roof",
            Work::Read(_) => "candor-read",
        }
    }

    fn cpu_fwd(&self, arena: &mut CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<()> {
        match arena {
            CpuStorage::U8(bytes) => crate::cpu::perform(self, bytes),
            _ => bail!("the arena is not made of bytes"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        arena: &mut CudaStorage,
        _: &Layout,
        constants: &CudaStorage,
        _: &Layout,
    ) -> Result<()> {
        crate::cuda::perform(self, arena, constants)
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda_fwd(&self, _: &mut CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<()> {
        bail!("this build lacks the feature cuda")
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        arena: &mut MetalStorage,
        _: &Layout,
        constants: &MetalStorage,
        _: &Layout,
    ) -> Result<()> {
        crate::metal::perform(self, arena, constants)
    }

    #[cfg(not(feature = "metal"))]
    fn metal_fwd(&self, _: &mut MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<()> {
        bail!("this build lacks the feature metal")
    }
}
