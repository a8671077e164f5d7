//! The AArch64 tiers: Advanced SIMD without and with the dot product extension.
//!
//! Both multiply signed bytes: codes are centred by flipping their top bit, and sums start with `128·Σw`
//! more.

mod dense;
mod dot;
pub(crate) mod neon;
pub(crate) mod neondot;
mod quad;
