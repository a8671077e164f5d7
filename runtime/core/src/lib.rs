//! The specification: everything that can change an output bit or an alert, without allocation or `std`.
//!
//! SIMD, GPU and microcontroller code are faster ways to get the same bits as the reference kernels here.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod alert;
pub mod arithmetic;
pub mod calibration;
pub mod digest;
pub mod golden;
pub mod interpreter;
pub mod kernels;
pub mod link;
pub mod ops;
pub mod package;
pub mod plan;
pub mod schedule;
pub mod state;
pub mod tensor;

#[cfg(test)]
mod tests;
