//! Corrected masks from a folder: files named by frame number, read on a thread of their own.
//!
//! A file `000000000042.png` (or `42.npy`, and so on) holds one class per pixel of frame 42, 255 where there
//! is no label. Once taken it is moved to `used` or `refused` in the same folder, so that it counts once.

use crate::exit::Failure;
use candor_imaging::labels::Labels;
use candor_imaging::read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Time between two looks at the folder.
const LOOK: Duration = Duration::from_millis(500);

/// A corrected mask, and the file it came from.
pub struct Corrected {
    /// Its frame.
    pub sequence: u64,
    /// One class per pixel; `None` when the file cannot be read as a mask.
    pub labels: Option<Labels>,
    path: PathBuf,
}

/// The folder; masks come one at a time.
pub struct Lessons {
    receiver: Option<Receiver<Corrected>>,
    folder: PathBuf,
}

impl Lessons {
    /// Watches `folder`, which is made; nothing comes without one.
    ///
    /// # Errors
    /// Exit code 3 when it cannot be made.
    pub fn open(folder: Option<&Path>) -> Result<Self, Failure> {
        let Some(folder) = folder else {
            return Ok(Self { receiver: None, folder: PathBuf::new() });
        };
        let refused = |error: std::io::Error| {
            let fix = "fix: give --labels a folder that can be written";
            Failure::invalid(format!("{}: {error}; {fix}", folder.display()))
        };
        for name in ["used", "refused"] {
            std::fs::create_dir_all(folder.join(name)).map_err(refused)?;
        }
        let (sender, receiver) = sync_channel(0);
        let own = folder.to_path_buf();
        std::thread::Builder::new()
            .name("labels".into())
            .spawn(move || watch(&own, &sender))
            .map_err(refused)?;
        Ok(Self { receiver: Some(receiver), folder: folder.into() })
    }

    /// The next mask, if one has come.
    pub fn next(&self) -> Option<Corrected> {
        self.receiver.as_ref()?.try_recv().ok()
    }

    /// Puts the file where it does not come again.
    pub fn done(&self, corrected: &Corrected, used: bool) {
        let place = self.folder.join(if used { "used" } else { "refused" });
        if let Some(name) = corrected.path.file_name() {
            // A file that cannot be moved comes again and is refused as too old some day: told each time.
            let _ = std::fs::rename(&corrected.path, place.join(name));
        }
    }
}

/// Looks for files until the stream ends.
fn watch(folder: &Path, sender: &SyncSender<Corrected>) {
    loop {
        for path in read::list(&[folder.to_path_buf()]).into_iter().flatten() {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let Some(sequence) = stem.and_then(|stem| stem.split('.').next()?.parse().ok()) else { continue };
            // A file that is still being written is younger than a look.
            if !path.exists() || is_young(&path) {
                continue;
            }
            let labels = read::mask(&path).ok();
            if sender.send(Corrected { sequence, labels, path }).is_err() {
                return;
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn is_young(path: &Path) -> bool {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < LOOK))
}
