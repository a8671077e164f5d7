//! Whole plans on Candle's devices: CPU, CUDA and Metal, bit-identical to the reference.
//!
//! A plan becomes a list of kernel launches over one arena of device memory ([`Program`]); Candle brings the
//! device, its memory and its queue, and runs the launches as in-place operations. The kernels themselves are
//! in `kernels/`, written once for CUDA, Metal and, for checks without either, the host's C++ compiler.

mod constants;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
mod executor;
mod lower;
#[cfg(feature = "metal")]
mod metal;
mod program;
#[cfg(feature = "cuda")]
mod roof;
mod session;
#[cfg(feature = "cuda")]
mod staging;
mod step;
mod target;
mod work;

pub use error::GpuError;
pub use executor::{Executor, ExecutorOptions};
pub use program::{Item, Program, Regions, coefficients, normalised};
pub use session::open;
pub use step::{Kernel, Launch, Step, View};
pub use target::Target;
