//! Sources of a stream: a folder, frames or video on standard input, and the phantom with scripted faults.

mod feed;
mod floats;
mod folder;
mod phantom;
mod pump;
mod raw;
mod specification;
#[cfg(test)]
mod tests;
mod video;

pub use pump::{Pace, Pump};
pub use specification::{Specification, parse};

use crate::exit::Failure;
use candor::stream::event::SourceFault;
use candor::stream::slot::Slot;
use std::io::Read;
use std::time::Duration;

/// What a source has next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A frame, now in the slot.
    Frame,
    /// A frame that cannot be used.
    Rejected(SourceFault),
    /// Trouble that cost no frame.
    Trouble(SourceFault),
    /// Nothing for so long: a scripted stall.
    Pause(Duration),
    /// No more frames.
    End,
}

/// Frames one after the other; whatever goes wrong is an arrival of its own, and the next call goes on.
pub trait Source: Send {
    /// Waits for the next frame and puts it into `slot`.
    fn next(&mut self, slot: &mut Slot) -> Arrival;
}

/// Opens what a specification names. `extent` (columns, rows) is the package's own, for sources that can
/// choose theirs.
///
/// # Errors
/// Exit code 3 when a folder cannot be read or a phantom not be made.
pub fn open(specification: &Specification, extent: [usize; 2]) -> Result<Box<dyn Source>, Failure> {
    Ok(match specification {
        Specification::Folder { path } => Box::new(folder::Folder::open(path)?),
        Specification::Raw { format } => Box::new(raw::Raw::new(input(), *format)),
        Specification::Video => Box::new(video::Video::new(input())),
        Specification::Phantom { script } => Box::new(phantom::Scripted::new(script, extent)?),
    })
}

fn input() -> Box<dyn Read + Send> {
    Box::new(std::io::stdin())
}
