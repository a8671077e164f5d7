//! The seam for devices that run a whole plan in memory of their own.

use crate::error::Error;
use crate::ood::features::Tap;
use std::ops::Range;

/// What a device does at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofs {
    /// Products of codes and weights a second, in registers alone.
    pub products: f64,
    /// Bytes of its memory read and written a second.
    pub bytes: f64,
}

/// A device with a plan loaded; every byte it makes is that of the reference kernels.
///
/// A frame is: [`load`](Backend::load) every input, then either [`frame`](Backend::frame) or
/// [`steps`](Backend::steps) in order and [`end`](Backend::end), then reads.
pub trait Backend {
    /// Its name, such as `cuda:0`.
    fn name(&self) -> String;

    /// Bytes it holds, on the device and beside it.
    fn bytes(&self) -> usize;

    /// Brings planar codes `[C,H,W]` of an input.
    ///
    /// # Errors
    /// When they are not as many as the input has, or the device fails.
    fn load(&mut self, input: usize, codes: &[u8]) -> Result<(), Error>;

    /// Runs some steps of the plan.
    ///
    /// # Errors
    /// When there are no such steps or the device fails.
    fn steps(&mut self, steps: Range<usize>) -> Result<(), Error>;

    /// Makes class and confidence of every pixel of the output, by the package's tables, and gathers its
    /// values.
    ///
    /// # Errors
    /// When the device fails.
    fn end(&mut self) -> Result<(), Error>;

    /// All steps and the end; `tapped` says whether [`Backend::taps`] are summed on the way.
    ///
    /// # Errors
    /// When the device fails.
    fn frame(&mut self, tapped: bool) -> Result<(), Error>;

    /// Returns once the device has done all that it was given.
    ///
    /// # Errors
    /// When the device fails.
    fn wait(&mut self) -> Result<(), Error>;

    /// What it does at most, measured now; `None` where that is not known.
    ///
    /// # Errors
    /// When the device fails.
    fn roofs(&mut self) -> Result<Option<Roofs>, Error> {
        Ok(None)
    }

    /// The outputs that frames can sum on the device; others are read whole and summed by the host.
    fn taps(&self) -> &[Tap] {
        &[]
    }

    /// Copies what the last tapped frame summed, [`Tap::words`] numbers of each tap in order.
    ///
    /// # Errors
    /// When `words` are not as many, or the device fails.
    fn read_taps(&mut self, words: &mut [u64]) -> Result<(), Error> {
        let _ = words;
        Ok(())
    }

    /// Copies a tensor's stored bytes, halo included; those of a step's output last until another step reuses
    /// their place.
    ///
    /// # Errors
    /// When `into` is not as long as the tensor, or the device fails.
    fn read_tensor(&mut self, tensor: usize, into: &mut [u8]) -> Result<(), Error>;

    /// Copies class and confidence, in 1/65535, of every pixel, row-major, and the output's values as digests
    /// take them unless `output` is empty: rows, columns, channels; codes in one byte, accumulators in four,
    /// little-endian.
    ///
    /// # Errors
    /// When the slices are not as long as the output says, or the device fails.
    fn read_finding(
        &mut self,
        mask: &mut [u8],
        confidence: &mut [u16],
        output: &mut [u8],
    ) -> Result<(), Error>;
}
