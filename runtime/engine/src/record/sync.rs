//! A thread that asks the storage to confirm what was written, so that no frame waits for it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Files that can wait for confirmation: the segment, its predecessor, their folder, and one to spare.
const QUEUE: usize = 4;

#[derive(Debug, Default)]
struct Queue {
    files: VecDeque<Arc<File>>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Error number of the last failure plus one; 0 when none is outstanding.
    failure: AtomicI32,
}

/// The thread, ended when this is dropped.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub fn new() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.queue.lock().unwrap_or_else(PoisonError::into_inner).files.reserve(QUEUE);
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("record".into()).spawn(move || work(&own))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for `file`; one that waits already is not asked for twice.
    pub fn request(&self, file: &Arc<File>) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let known = queue.files.iter().any(|waiting| Arc::ptr_eq(waiting, file));
        if !known && queue.files.len() < QUEUE {
            queue.files.push_back(Arc::clone(file));
            self.shared.changed.notify_one();
        }
    }

    /// Error number of a failure since the last call.
    pub fn failure(&self) -> Option<i32> {
        let failure = self.shared.failure.swap(0, Ordering::SeqCst);
        (failure > 0).then(|| failure - 1)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, nothing is left to be done.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared) {
    let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(file) = queue.files.pop_front() {
            drop(queue);
            // What a folder or a pipe cannot be asked for is no failure.
            if let Err(error) = file.sync_data()
                && error.kind() != io::ErrorKind::InvalidInput
            {
                let errno = error.raw_os_error().unwrap_or(0);
                shared.failure.store(errno.saturating_add(1), Ordering::SeqCst);
            }
            queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        } else if queue.ended {
            return;
        } else {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
