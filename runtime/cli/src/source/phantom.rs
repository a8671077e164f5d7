//! The phantom as a source: a pool of slices in turn, and scripted faults at given frames.

use super::{Arrival, Source, floats};
use crate::exit::Failure;
use crate::input::view;
use candor::stream::event::SourceFault;
use candor::stream::slot::Slot;
use candor_imaging::frame::{Frame, Samples};
use candor_imaging::phantom::fault::Fault;
use candor_imaging::phantom::{Config, Phantom};
use std::ops::Range;
use std::time::Duration;

/// What goes wrong at scripted frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// The picture is changed.
    Picture(Fault),
    /// Another part of the body: a patch of so many millimetres.
    Anatomy {
        /// Its shorter side.
        patch_mm: f64,
    },
    /// A sample that is no number.
    NotANumber,
    /// Half the frame.
    Short,
    /// Bytes that are no frame.
    Garbled,
    /// Nothing for so long before the frame.
    Stall(Duration),
}

/// What the phantom does.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Of all slices.
    pub seed: u64,
    /// Columns and rows; the package's own when `None`.
    pub extent: Option<[usize; 2]>,
    /// Slices that are drawn beforehand and come in turn.
    pub pool: usize,
    /// Faults, each over a range of frames counted from 0 since the start of the program.
    pub troubles: Vec<(Range<u64>, Trouble)>,
}

/// The source.
pub struct Scripted {
    pool: Vec<Frame>,
    other: Phantom,
    seed: u64,
    troubles: Vec<(Range<u64>, Trouble)>,
    index: u64,
    paused: bool,
}

impl Scripted {
    /// Draws the pool.
    ///
    /// # Errors
    /// Exit code 3 for an extent or a patch that the phantom cannot have.
    pub fn new(script: &Script, extent: [usize; 2]) -> Result<Self, Failure> {
        let [width, height] = script.extent.unwrap_or(extent);
        let patch = script.troubles.iter().find_map(|(_, trouble)| match trouble {
            Trouble::Anatomy { patch_mm } => Some(*patch_mm),
            _ => None,
        });
        let make = |patch_mm| {
            let config = Config { width, height, patch_mm, ..Config::default() };
            Phantom::new(config, script.seed).map_err(|error| Failure::invalid(error.to_string()))
        };
        let (phantom, other) = (make(None)?, make(patch)?);
        let pool = (0..script.pool.max(1) as u64).map(|index| phantom.frame(index).0).collect();
        let (seed, troubles) = (script.seed, script.troubles.clone());
        Ok(Self { pool, other, seed, troubles, index: 0, paused: false })
    }

    /// The frame with its scripted changes.
    fn changed(&self, index: u64) -> Result<Frame, SourceFault> {
        let mut frame = self.pool[(index % self.pool.len() as u64) as usize].clone();
        let bytes = (frame.width() * frame.height()) as u64;
        for (_, trouble) in self.troubles.iter().filter(|(range, _)| range.contains(&index)) {
            match trouble {
                Trouble::Picture(fault) => frame = fault.apply(&frame, self.seed ^ index),
                Trouble::Anatomy { .. } => frame = self.other.frame(index).0,
                Trouble::Short => return Err(SourceFault::ShortFrame { bytes: bytes / 2, expected: bytes }),
                Trouble::Garbled => return Err(SourceFault::Garbled { skipped: bytes }),
                Trouble::NotANumber => {
                    let mut floats = as_floats(&frame);
                    let at = floats.len() / 2 / 4 * 4;
                    floats[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
                    let extent = [frame.width(), frame.height()];
                    floats::fill(&mut Slot::default(), extent, &floats)?;
                }
                Trouble::Stall(_) => {}
            }
        }
        Ok(frame)
    }
}

impl Source for Scripted {
    fn next(&mut self, slot: &mut Slot) -> Arrival {
        let index = self.index;
        let now = |(range, _): &&(Range<u64>, Trouble)| range.contains(&index);
        let stall = self.troubles.iter().filter(now).find_map(|(_, trouble)| match trouble {
            Trouble::Stall(pause) => Some(*pause),
            _ => None,
        });
        if let Some(pause) = stall.filter(|_| !self.paused) {
            self.paused = true;
            return Arrival::Pause(pause);
        }
        self.paused = false;
        self.index += 1;
        if self.troubles.iter().filter(now).all(|(_, trouble)| matches!(trouble, Trouble::Stall(_))) {
            let frame = &self.pool[(index % self.pool.len() as u64) as usize];
            return fill(slot, frame);
        }
        match self.changed(index) {
            Ok(frame) => fill(slot, &frame),
            Err(fault) => Arrival::Rejected(fault),
        }
    }
}

fn fill(slot: &mut Slot, frame: &Frame) -> Arrival {
    match view(frame) {
        Some(view) => {
            slot.fill(&view);
            Arrival::Frame
        }
        None => Arrival::Rejected(SourceFault::Unreadable),
    }
}

fn as_floats(frame: &Frame) -> Vec<u8> {
    let Samples::U8(samples) = frame.samples() else { return Vec::new() };
    samples.iter().flat_map(|&sample| (f32::from(sample) / 255.0).to_le_bytes()).collect()
}
