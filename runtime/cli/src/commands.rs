//! The verbs, one file each.

pub mod bench;
pub mod demo;
pub mod inspect;
pub mod run;
pub mod selftest;
