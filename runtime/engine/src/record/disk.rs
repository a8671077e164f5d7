//! Where the log lies: one growing file and the closed segments beside it.

use super::sync::Syncer;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a log asks of its storage; tests put one between that fails.
pub trait Disk {
    /// Appends some of `bytes`, at least one, and says how many.
    ///
    /// # Errors
    /// Those of the storage, such as a full one.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts the growing file to `length` bytes.
    ///
    /// # Errors
    /// Those of the storage.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Closes the growing file as the segment that ends before line `lines`, begins an empty one, and
    /// deletes the oldest segments but `keep` (0: none).
    ///
    /// # Errors
    /// Those of the storage; the growing file is then as it was.
    fn rotate(&mut self, lines: u64, keep: usize) -> io::Result<()>;
    /// Whether the file that is written to still has its name.
    ///
    /// # Errors
    /// Those of the storage.
    fn is_in_place(&mut self) -> io::Result<bool>;
    /// Writes the first `length` bytes of the file that is written to, under its name again.
    ///
    /// # Errors
    /// Those of the storage; the file is then not in place.
    fn put_back(&mut self, length: u64) -> io::Result<()>;
    /// Asks for confirmation of what was written, without waiting.
    fn request_sync(&mut self);
    /// Error number of a confirmation that failed since the last call.
    fn sync_failure(&mut self) -> Option<i32>;
    /// Waits for confirmation.
    ///
    /// # Errors
    /// Those of the storage.
    fn sync_and_wait(&mut self) -> io::Result<()>;
}

/// A log in a folder of the file system: `NAME` grows, `NAME.000000001234` are closed segments, each named
/// after the number of lines up to its end.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    file: Arc<File>,
    folder: Arc<File>,
    syncer: Syncer,
}

impl Folder {
    /// Opens the growing file at `path`, or makes it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = Arc::new(grow(path)?);
        let folder = Arc::new(File::open(folder_of(path))?);
        Ok(Self { path: path.into(), file, folder, syncer: Syncer::new()? })
    }
}

impl Disk for Folder {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.file).write(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn rotate(&mut self, lines: u64, keep: usize) -> io::Result<()> {
        let closed = segment_path(&self.path, lines);
        std::fs::rename(&self.path, &closed)?;
        match grow(&self.path) {
            Ok(file) => {
                self.syncer.request(&self.file);
                self.file = Arc::new(file);
                self.syncer.request(&self.folder);
                prune(&self.path, keep);
                Ok(())
            }
            Err(error) => {
                std::fs::rename(&closed, &self.path)?;
                Err(error)
            }
        }
    }

    fn is_in_place(&mut self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok(same(&own, &named)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put_back(&mut self, length: u64) -> io::Result<()> {
        let mut name = file_name(&self.path);
        name.push(".rescued");
        let rescued = self.path.with_file_name(name);
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut copy = OpenOptions::new().create(true).truncate(true).write(true).open(&rescued)?;
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut file.take(length), &mut copy)?;
        if copied != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        copy.sync_data()?;
        std::fs::rename(&rescued, &self.path)?;
        self.file = Arc::new(grow(&self.path)?);
        self.folder = Arc::new(File::open(folder_of(&self.path))?);
        Ok(())
    }

    fn request_sync(&mut self) {
        self.syncer.request(&self.file);
    }

    fn sync_failure(&mut self) -> Option<i32> {
        self.syncer.failure()
    }

    fn sync_and_wait(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Opens a file that grows, for this process alone: two writers would tear each other's chain. The lock goes
/// with the process, however that ends; a file system without locks is used without.
fn grow(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::WouldBlock, "another process writes this log"))
        }
        _ => Ok(file),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn file_name(path: &Path) -> OsString {
    path.file_name().unwrap_or_default().to_os_string()
}

/// Where a closed segment lies that ends before line `lines`.
pub(super) fn segment_path(path: &Path, lines: u64) -> PathBuf {
    let mut name = file_name(path);
    name.push(format!(".{lines:012}"));
    path.with_file_name(name)
}

/// Closed segments beside `path`, oldest first, each with the number in its name; those that were set aside
/// as damaged come with their ending.
///
/// # Errors
/// Those of the file system.
pub(super) fn segments(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut prefix = file_name(path).into_encoded_bytes();
    prefix.push(b'.');
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder_of(path))? {
        let name = entry?.file_name();
        let Some(rest) = name.as_encoded_bytes().strip_prefix(&*prefix) else { continue };
        let digits = rest.strip_suffix(DAMAGED.as_bytes()).unwrap_or(rest);
        let number = std::str::from_utf8(digits).ok().filter(|digits| digits.len() >= 12);
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.push((number, path.with_file_name(name)));
        }
    }
    found.sort();
    Ok(found)
}

/// Ending of a segment that was set aside.
pub(super) const DAMAGED: &str = ".damaged";

/// Deletes all but the `keep` newest closed segments. A segment that cannot be deleted stays: it costs
/// space, not truth.
fn prune(path: &Path, keep: usize) {
    if keep == 0 {
        return;
    }
    let closed = segments(path).unwrap_or_default();
    for (_, old) in closed.iter().rev().skip(keep) {
        let _ = std::fs::remove_file(old);
    }
}

#[cfg(unix)]
fn same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    a.created().ok() == b.created().ok()
}
