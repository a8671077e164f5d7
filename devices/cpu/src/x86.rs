//! The x86-64 tiers: 256-bit without and with VNNI, 512-bit VNNI, and tiles.

#[cfg(target_os = "linux")]
pub(crate) mod amx;
pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod avxvnni;
mod codebook;
pub(crate) mod moments;
mod quartets;
mod ymm;
