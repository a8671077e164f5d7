//! SIMD kernels for every CPU tier and the threads that share them, byte for byte equal to the reference.
//!
//! Backends only add speed: whatever the tier and the number of threads, image bytes are those of
//! [`candor_core::kernels::Reference`].
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![allow(clippy::needless_range_loop, reason = "register indices must unroll to constants")]

#[cfg(any(test, all(target_arch = "arm", any(feature = "dsp", feature = "helium"))))]
mod cortex_m;
mod image;
mod kernels;
#[cfg(feature = "std")]
mod parts;
#[cfg(feature = "std")]
mod pool;
mod reference;
mod statistics;
mod table;
mod tier;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod arm;
#[cfg_attr(target_arch = "arm", allow(dead_code, reason = "microcontrollers use the plain ones"))]
#[cfg(any(
    test,
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little"),
    all(target_arch = "arm", any(feature = "dsp", feature = "helium"))
))]
mod loops;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use kernels::{CpuKernels, THREADS_LIMIT};
pub use tier::{Tier, TierError};

#[cfg(test)]
mod tests;
