//! Transfers between host and CUDA device through two buffers of page-locked memory: one is filled or emptied
//! while the other is on its way.

use crate::work::Part;
use candle_core::Result;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaSlice, CudaStream, PinnedHostSlice};
use std::sync::Arc;

/// Bytes of one buffer.
const BUFFER: usize = 256 << 10;

/// Bytes of page-locked memory held.
pub const STAGING: usize = 2 * BUFFER;

/// One buffer, and what tells that the device no longer uses it.
struct Buffer {
    memory: PinnedHostSlice<u8>,
    done: CudaEvent,
}

/// Both buffers, the one used last first.
pub struct Staging {
    stream: Arc<CudaStream>,
    buffers: [Buffer; 2],
}

impl Staging {
    /// Page-locks the memory.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let buffer = || {
            // SAFETY: bytes are valid whatever they are, and are written before they are read.
            let memory = unsafe { stream.context().alloc_pinned_with_flags(BUFFER, 0) }.w()?;
            Ok::<_, candle_core::Error>(Buffer { memory, done: stream.context().new_event(None).w()? })
        };
        Ok(Self { stream: stream.clone(), buffers: [buffer()?, buffer()?] })
    }

    /// The buffer used least recently, once the device is done with it; its first `bytes`.
    fn next(&mut self, bytes: usize) -> Result<(&mut [u8], &CudaEvent)> {
        self.buffers.swap(0, 1);
        let Buffer { memory, done } = &mut self.buffers[0];
        done.synchronize().w()?;
        Ok((&mut memory.as_mut_slice().w()?[..bytes], done))
    }

    /// Brings `bytes` to byte `to` of the arena; returns once they are copied, not once they arrived.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn bring(&mut self, bytes: &[u8], mut to: usize, arena: &mut CudaSlice<u8>) -> Result<()> {
        let stream = self.stream.clone();
        for part in bytes.chunks(BUFFER) {
            let (buffer, done) = self.next(part.len())?;
            buffer.copy_from_slice(part);
            stream.memcpy_htod(&*buffer, &mut arena.slice_mut(to..to + part.len())).w()?;
            done.record(&stream).w()?;
            to += part.len();
        }
        Ok(())
    }

    /// Fetches parts of the arena, one on its way while the one before is taken.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn fetch(&mut self, parts: &mut [Part<'_>], arena: &CudaSlice<u8>) -> Result<()> {
        let stream = self.stream.clone();
        let mut under_way: Option<&mut [u8]> = None;
        let chunks =
            parts.iter_mut().flat_map(|part| (part.from..).step_by(BUFFER).zip(part.into.chunks_mut(BUFFER)));
        for (from, chunk) in chunks {
            let (buffer, done) = self.next(chunk.len())?;
            stream.memcpy_dtoh(&arena.slice(from..from + chunk.len()), buffer).w()?;
            done.record(&stream).w()?;
            if let Some(before) = under_way.replace(chunk) {
                self.take(1, before)?;
            }
        }
        under_way.map_or(Ok(()), |last| self.take(0, last))
    }

    /// Copies what a buffer received.
    fn take(&self, buffer: usize, into: &mut [u8]) -> Result<()> {
        let Buffer { memory, done } = &self.buffers[buffer];
        done.synchronize().w()?;
        into.copy_from_slice(&memory.as_slice().w()?[..into.len()]);
        Ok(())
    }
}
