//! The Cortex-M tiers: dual 16-bit products on M4 and M7, loops that become Helium on M55.
//!
//! Everything but single instructions is safe code, and the tests run it on any machine, over a model of
//! those instructions.

mod blocks;
mod dense;
#[cfg(any(test, feature = "dsp"))]
pub(crate) mod dsp;
mod dual;
#[cfg(any(test, feature = "helium"))]
pub(crate) mod helium;
#[cfg(all(target_arch = "arm", feature = "dsp"))]
mod pairs;
