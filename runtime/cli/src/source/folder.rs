//! A folder of frames, in the order of their names.

use super::{Arrival, Source};
use crate::exit::Failure;
use crate::input::view;
use candor::stream::event::SourceFault;
use candor::stream::slot::Slot;
use candor_imaging::read::{self, ReadErrorKind};
use std::path::{Path, PathBuf};

/// The source. Names of files never leave it: they may name patients.
pub struct Folder {
    files: Vec<PathBuf>,
    next: usize,
}

impl Folder {
    /// Every frame in `path`.
    ///
    /// # Errors
    /// Exit code 3 when there is none, or the folder cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let listed = read::list(&[path.to_path_buf()]);
        let files = listed.into_iter().collect::<Result<Vec<_>, _>>();
        Ok(Self { files: files.map_err(|error| Failure::invalid(error.to_string()))?, next: 0 })
    }
}

impl Source for Folder {
    fn next(&mut self, slot: &mut Slot) -> Arrival {
        let Some(path) = self.files.get(self.next) else { return Arrival::End };
        self.next += 1;
        let frame = match read::open(path) {
            Ok(frame) => frame,
            Err(error) if error.kind() == ReadErrorKind::NonFinite => {
                return Arrival::Rejected(SourceFault::NonFinite { index: 0 });
            }
            Err(_) => return Arrival::Rejected(SourceFault::Unreadable),
        };
        match view(&frame) {
            Some(view) => {
                slot.fill(&view);
                Arrival::Frame
            }
            // A prepared array is no picture; `candor run` takes those.
            None => Arrival::Rejected(SourceFault::Unreadable),
        }
    }
}
