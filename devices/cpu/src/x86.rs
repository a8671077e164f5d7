//! The x86-64 tiers: 256-bit without and with VNNI, and 512-bit VNNI.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod avxvnni;
mod ymm;
