//! What runs on a microcontroller beside an imaging box, without hardware: everything here also runs on a
//! host.
//!
//! Boards are in `boards/`; they implement the ports and hold all that is unsafe.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod black_box;
pub mod plausibility;
pub mod ports;
pub mod segmenter;
pub mod supervisor;
pub mod trials;
