//! The devices that can be asked for, by name.

use crate::error::GpuError;
use candle_core::Device;
use std::fmt;

/// A device of Candle's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Candle's CPU device; the kernels are those of `candor-cpu`.
    CandleCpu,
    /// A CUDA device by its number.
    Cuda(usize),
    /// A Metal device by its number.
    Metal(usize),
}

impl Target {
    /// `candle-cpu`, `cuda`, `metal`, the latter two with `:NUMBER` or without.
    pub fn from_name(name: &str) -> Option<Self> {
        let (kind, number) = match name.split_once(':') {
            Some((kind, number)) => (kind, number.parse().ok()?),
            None => (name, 0),
        };
        match kind {
            "candle-cpu" if kind.len() == name.len() => Some(Self::CandleCpu),
            "cuda" => Some(Self::Cuda(number)),
            "metal" => Some(Self::Metal(number)),
            _ => None,
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`GpuError::Unavailable`] when the machine has none, or this build cannot use it.
    pub fn open(self) -> Result<Device, GpuError> {
        let (opened, feature) = match self {
            Self::CandleCpu => return Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => (None, "cuda"),
            Self::Metal(_) if !cfg!(feature = "metal") => (None, "metal"),
            Self::Cuda(number) => (Some(open_cuda(number)), "cuda"),
            Self::Metal(number) => (Some(Device::new_metal(number)), "metal"),
        };
        match opened {
            Some(Ok(device)) => Ok(device),
            Some(Err(error)) => Err(self.unavailable(error.to_string())),
            None => Err(self.unavailable(format!("this build lacks the feature {feature}"))),
        }
    }

    fn unavailable(self, reason: String) -> GpuError {
        GpuError::Unavailable { device: self.to_string(), reason }
    }
}

#[cfg(feature = "cuda")]
use crate::cuda::open as open_cuda;

#[cfg(not(feature = "cuda"))]
fn open_cuda(number: usize) -> candle_core::Result<Device> {
    Device::new_cuda(number)
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CandleCpu => formatter.write_str("candle-cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
            Self::Metal(number) => write!(formatter, "metal:{number}"),
        }
    }
}
