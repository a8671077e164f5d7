//! The verbs, one file each.

pub mod bench;
pub mod demo;
pub mod inspect;
pub mod log;
pub mod run;
pub mod selftest;
pub mod stream;
