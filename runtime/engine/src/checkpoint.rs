//! Checkpoints of a stream's state: two generations on storage, each whole and sealed or not counted at all.
//!
//! A generation is written to a file of its own, confirmed by the storage, renamed over the older of the
//! two, and the folder confirmed; so whatever moment the process or the power ends, the newest or the one
//! before it is there. File: magic `CANDORST`, format 1, generation, SHA-256 of the package, payload length
//! (all little-endian), payload, SHA-256 of everything before.

use crate::error::{Error, ErrorKind};
use crate::stream::event::StateOrigin;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 8] = b"CANDORST";
const FORMAT: u32 = 1;
/// Bytes before the payload.
const HEADER_BYTES: usize = 8 + 4 + 8 + 32 + 8;
const DIGEST_BYTES: usize = 32;
/// Most bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What was found in a folder of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The newest payload that holds; empty without one.
    pub payload: Vec<u8>,
    /// Its generation; the next one is greater.
    pub generation: u64,
    /// Which it was.
    pub origin: StateOrigin,
}

/// Reads the newest checkpoint in `folder` that holds and belongs to the package with SHA-256 `package`.
/// A folder that does not exist is made.
///
/// # Errors
/// [`ErrorKind::File`] when the folder cannot be made or read.
pub fn restore(folder: &Path, package: &[u8; 32]) -> Result<Restored, Error> {
    let refused = |error: io::Error| {
        let fix = "give --state a folder that can be made";
        Error::new(ErrorKind::File, format!("{error}; {fix}")).at(folder.display())
    };
    std::fs::create_dir_all(folder).map_err(refused)?;
    let mut newest: Option<(u64, Vec<u8>)> = None;
    let (mut files, mut unsound) = (0, 0);
    for slot in 0..2 {
        let path = slot_path(folder, slot);
        if !path.exists() {
            continue;
        }
        files += 1;
        match read(&path, package).map_err(refused)? {
            Some((generation, _)) if newest.as_ref().is_some_and(|(newest, _)| *newest > generation) => {}
            Some(own) => newest = Some(own),
            None => unsound += 1,
        }
    }
    Ok(match newest {
        Some((generation, payload)) => {
            let origin = if unsound > 0 { StateOrigin::Previous } else { StateOrigin::Newest };
            Restored { payload, generation, origin }
        }
        None => {
            let origin = if files > 0 { StateOrigin::Lost } else { StateOrigin::Fresh };
            Restored { payload: Vec::new(), generation: 0, origin }
        }
    })
}

fn slot_path(folder: &Path, slot: u64) -> PathBuf {
    folder.join(format!("state.{}", slot % 2))
}

/// Generation and payload of a file; `None` when it is damaged or another package's.
fn read(path: &Path, package: &[u8; 32]) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let most = (HEADER_BYTES + PAYLOAD_BYTES_MAX + DIGEST_BYTES) as u64;
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(parse(&bytes, package))
}

fn parse(bytes: &[u8], package: &[u8; 32]) -> Option<(u64, Vec<u8>)> {
    let (sealed, digest) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
    if <[u8; DIGEST_BYTES]>::from(Sha256::digest(sealed)) != *digest {
        return None;
    }
    let rest = sealed.strip_prefix(MAGIC)?;
    let (format, rest) = rest.split_first_chunk::<4>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (owner, rest) = rest.split_first_chunk::<32>()?;
    let (length, payload) = rest.split_first_chunk::<8>()?;
    let sound = u32::from_le_bytes(*format) == FORMAT
        && owner == package
        && u64::from_le_bytes(*length) == payload.len() as u64;
    sound.then(|| (u64::from_le_bytes(*generation), payload.to_vec()))
}

#[derive(Debug, Default)]
struct Job {
    /// A whole file to be written; empty when there is none.
    bytes: Vec<u8>,
    generation: u64,
    busy: bool,
    ended: bool,
    failure: Option<i32>,
}

#[derive(Debug, Default)]
struct Shared {
    job: Mutex<Job>,
    changed: Condvar,
}

impl Shared {
    fn job(&self) -> MutexGuard<'_, Job> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes checkpoints on a thread of its own; no frame waits for one.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    package: [u8; 32],
    generation: u64,
}

impl Keeper {
    /// For `folder`, after the generation that was restored; payloads have at most `payload_bytes` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when no thread can be started.
    pub fn new(
        folder: &Path,
        package: [u8; 32],
        generation: u64,
        payload_bytes: usize,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        shared.job().bytes.reserve(HEADER_BYTES + payload_bytes + DIGEST_BYTES);
        let (own, folder) = (Arc::clone(&shared), folder.to_path_buf());
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || work(&own, &folder))
            .map_err(|error| Error::new(ErrorKind::File, format!("no thread for checkpoints: {error}")))?;
        Ok(Self { shared, thread: Some(thread), package, generation })
    }

    /// Hands over a payload that `fill` writes into the buffer it is given; false when the last one is still
    /// being written.
    pub fn save(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut job = self.shared.job();
        if job.busy || job.ended {
            return false;
        }
        self.generation += 1;
        seal(&mut job.bytes, self.generation, &self.package, fill);
        (job.generation, job.busy) = (self.generation, true);
        drop(job);
        self.shared.changed.notify_all();
        true
    }

    /// Waits until the checkpoint that is being written is on the storage.
    pub fn wait(&self) {
        let job = self.shared.job();
        drop(self.shared.changed.wait_while(job, |job| job.busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// Error number of a failure since the last call, 0 when unknown.
    pub fn failure(&self) -> Option<i32> {
        self.shared.job().failure.take()
    }

    /// Generation of the newest checkpoint that was handed over.
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.job().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, nothing is left to be done.
            let _ = thread.join();
        }
    }
}

/// Makes a whole file of a payload.
fn seal(bytes: &mut Vec<u8>, generation: u64, package: &[u8; 32], fill: impl FnOnce(&mut Vec<u8>)) {
    bytes.clear();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(package);
    bytes.extend_from_slice(&[0; 8]);
    fill(bytes);
    let length = (bytes.len() - HEADER_BYTES) as u64;
    bytes[HEADER_BYTES - 8..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    let digest = Sha256::digest(&*bytes);
    bytes.extend_from_slice(&digest);
}

fn work(shared: &Shared, folder: &Path) {
    let mut job = shared.job();
    loop {
        if job.busy {
            let (bytes, generation) = (std::mem::take(&mut job.bytes), job.generation);
            drop(job);
            let outcome = store(folder, generation, &bytes);
            job = shared.job();
            job.bytes = bytes;
            job.busy = false;
            if let Err(error) = outcome {
                job.failure = Some(error.raw_os_error().unwrap_or(0));
            }
            shared.changed.notify_all();
        } else if job.ended {
            return;
        } else {
            job = shared.changed.wait(job).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Puts a file in the place of the older generation.
fn store(folder: &Path, generation: u64, bytes: &[u8]) -> io::Result<()> {
    let fresh = folder.join("state.new");
    let written = (|| {
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if let Err(error) = written {
        // The space it took may be what everything else waits for.
        let _ = std::fs::remove_file(&fresh);
        return Err(error);
    }
    std::fs::rename(&fresh, slot_path(folder, generation))?;
    File::open(folder)?.sync_all()
}
