//! Streams under load and under fault: pace in virtual time, killed processes, full disks, bad bytes, eyes.

mod clocks;
mod command;
mod documented;
mod eyes;
mod faults;
mod killed;
mod lessons;
mod pace;
#[path = "../stream_endurance/package.rs"]
mod package;
mod restart;
