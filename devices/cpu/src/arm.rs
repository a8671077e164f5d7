//! The AArch64 tiers: Advanced SIMD alone, with the dot product extension, and with that and the matrix
//! extension for bytes.
//!
//! The first two multiply signed bytes: codes are centred by flipping their top bit, and sums start with
//! `128·Σw` more.

mod codebook;
mod dense;
mod dot;
pub(crate) mod i8mm;
mod matrix;
pub(crate) mod neon;
pub(crate) mod neondot;
mod quad;
mod quartets;
