//! Nothing is allocated per frame once a model is loaded, and the whole process stays within a stated size.

use std::process::Command;
use std::sync::Mutex;

use candor::{FrameView, Package, Samples, Session, SessionOptions};
use candor_core::package::Geometry;
use candor_lab::build::{self, BuildOptions};
use candor_lab::dataset::Split;
use candor_lab::lower::Ending;
use candor_lab::network::{
    Binary, Network,
};
use candor_tests::allocation::CountingAllocator;
use candor_tests::binaries::binary;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();
