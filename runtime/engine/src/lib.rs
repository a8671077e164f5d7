//! The library a device vendor embeds: packages, sessions, and findings with calibrated confidence.
#![deny(unsafe_code)]

pub mod backend;
pub mod buffer;
pub mod checkpoint;
mod digests;
pub mod drift;
pub mod error;
pub mod frame;
pub mod geometry;
mod mapping;
pub mod ood;
pub mod package;
pub mod planner;
pub mod preprocess;
pub mod recalibrate;
pub mod record;
pub mod session;
pub mod statistics;
pub mod stream;

pub use backend::{Backend, Roofs};
pub use candor_cpu::Tier;
pub use digests::StepDigests;
pub use error::{Error, ErrorKind};
pub use frame::{FrameView, Samples};
pub use package::Package;
pub use session::{CalibrationState, Details, Finding, Session, SessionOptions, Strip};
