//! Why a device cannot be used, or stopped being of use.

use candor_core::interpreter::RunError;
use candor_core::plan::PlanError;
use std::fmt;

/// A failure, with what would fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuError {
    /// The device that was asked for is not there; nothing else is used in its place.
    Unavailable {
        /// Its name.
        device: String,
        /// Why not.
        reason: String,
    },
    /// The budget cannot be met, or the device has less memory left; found before anything is loaded.
    Memory {
        /// Bytes of device memory that the plan takes.
        needed: usize,
        /// Bytes there are.
        budget: usize,
    },
    /// The device failed while it was in use; the executor is of no use any more.
    Lost {
        /// Its name.
        device: String,
        /// What it said.
        reason: String,
    },
    /// Another number of inputs, or of codes in an input, than the plan has.
    Input {
        /// What is wrong.
        reason: String,
    },
    /// The plan itself; impossible after [`Plan::parse`](candor_core::plan::Plan::parse).
    Plan(PlanError),
}

impl fmt::Display for GpuError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { device, reason } => {
                write!(formatter, "device {device} is not available: {reason}")
            }
            Self::Memory { needed, budget } => write!(
                formatter,
                "the plan takes {needed} bytes of device memory, more than the {budget} there are; \
                 allow as many or use a smaller model"
            ),
            Self::Lost { device, reason } => {
                write!(formatter, "device {device} was lost: {reason}; open it again")
            }
            Self::Input { reason } => formatter.write_str(reason),
            Self::Plan(error) => write!(formatter, "the plan is damaged: {error:?}"),
        }
    }
}

impl std::error::Error for GpuError {}

impl From<PlanError> for GpuError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

/// What the host's part of a step says, as Candle passes it on.
pub fn candle(error: RunError) -> candle_core::Error {
    candle_core::Error::Msg(format!("{error:?}"))
}
