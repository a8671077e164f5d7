//! The loops every tier shares: dense and windowed ones over a vector type, the others autovectorised.

pub(crate) mod bounds;
pub(crate) mod channels;
pub(crate) mod codebook;
pub(crate) mod convolution;
pub(crate) mod dense;
pub(crate) mod elementwise;
pub(crate) mod finish;
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")))]
pub(crate) mod instance;
pub(crate) mod quartets;
pub(crate) mod resample;
pub(crate) mod roof;
pub(crate) mod vector;
pub(crate) mod walk;
pub(crate) mod window;
