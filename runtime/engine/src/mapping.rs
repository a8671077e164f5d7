//! The read-only mapping of a package file: the one place of the engine with `unsafe`.
//!
//! A file that somebody truncates while it is mapped raises SIGBUS on access. Package files are therefore
//! replaced by renaming a new one over them, never written in place; where the storage cannot promise that,
//! [`Package::load`](crate::Package::load) reads a private copy instead.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// Maps the whole of `file` read-only.
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private to this process and only ever read as bytes; every length and digest is
    // checked after mapping. Concurrent truncation is excluded by the rule stated at the top of this
    // file.
    unsafe { Mmap::map(file) }
}
