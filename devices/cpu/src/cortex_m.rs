//! The Cortex-M tiers: dual 16-bit products on M4 and M7, Helium's vectors on M55.
//!
//! The inner loops are assembly, which the boards are tested with; the tests of other machines run all else
//! over what that assembly is specified to do.

mod blocks;
mod dense;
#[cfg(any(test, feature = "dsp"))]
pub(crate) mod dsp;
#[cfg(any(test, feature = "dsp"))]
mod dual;
#[cfg(any(test, feature = "helium"))]
pub(crate) mod helium;
#[cfg(all(target_arch = "arm", feature = "dsp"))]
mod quads;
#[cfg(all(target_arch = "arm", feature = "helium"))]
mod vectors;
