//! A fixed set of worker threads that join the caller in one closure at a time; no allocation per call.
//!
//! A worker enters a job only while it is open, and the caller closes it as soon as its own share ends, so
//! a worker that the system has not scheduled delays nobody. Workers spin briefly, then sleep.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

/// Turns a thread spins before it yields its time slice.
const SPINS: usize = 6000;
/// Time slices it yields before it sleeps.
const YIELDS: usize = 20;
/// Stack of a worker: the loops keep at most one block of widened weights on it.
const STACK_BYTES: usize = 1 << 20;
/// Low bits of the state: workers inside the job.
const ACTIVE: u64 = 0xffff_ffff;
/// Set while workers may enter the job.
const OPEN: u64 = 1 << 32;
/// One job; the bits above count jobs so that a worker enters each only once.
const JOB: u64 = 1 << 33;

/// What all threads run, each with its number: the closure claims its own parts of the work.
type Body = dyn Fn(usize) + Sync;

/// State that caller and workers share.
struct Shared {
    state: AtomicU64,
    job: UnsafeCell<Option<*const Body>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
    started: AtomicUsize,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    waiting: AtomicBool,
    wait: Mutex<()>,
    idle: Condvar,
}

// SAFETY: `job` is written only by the caller that holds `Pool::exclusive`, while no worker is inside a job
// and none can enter; workers read it only after entering. Everything else synchronises itself.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer inside is only followed while its closure, which is Sync, is borrowed by
// the caller.
unsafe impl Send for Shared {}

/// Worker threads; dropping the pool ends and joins them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    exclusive: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

/// Locks, whether or not a panic once unwound through the lock: no data is guarded that could be
/// half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spins, then yields, until `done`; false when it is time to sleep.
fn spin_until(done: impl Fn() -> bool) -> bool {
    for turn in 0..SPINS + YIELDS {
        if done() {
            return true;
        }
        if turn < SPINS { core::hint::spin_loop() } else { thread::yield_now() }
    }
    false
}

impl Pool {
    /// Starts `workers` threads beside the caller's and waits until they run.
    ///
    /// # Errors
    /// The kind of error with which the system refused a thread; those already started end.
    pub fn new(workers: usize) -> Result<Self, std::io::ErrorKind> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
            started: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            waiting: AtomicBool::new(false),
            wait: Mutex::new(()),
            idle: Condvar::new(),
        });
        let mut pool = Self { shared, exclusive: Mutex::new(()), workers: Vec::with_capacity(workers) };
        for index in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let builder = thread::Builder::new().name(format!("candor-{index}")).stack_size(STACK_BYTES);
            pool.workers.push(builder.spawn(move || shared.work(index + 1)).map_err(|error| error.kind())?);
        }
        // A thread allocates while it starts; after this nothing does.
        while pool.shared.started.load(SeqCst) < workers {
            thread::yield_now();
        }
        Ok(pool)
    }

    /// Threads that take part, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `body` on the caller's thread, which is number 0, and on every worker that arrives in time;
    /// returns when all have left it.
    ///
    /// When another thread is using the pool, `body` runs on the caller's thread alone. A panic on a worker
    /// is resumed here.
    pub fn run(&self, body: &(dyn Fn(usize) + Sync)) {
        let _exclusive = match self.exclusive.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return body(0),
        };
        if self.workers.is_empty() {
            return body(0);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `Closing` keeps this function from returning or unwinding while
        // a worker may still follow the pointer.
        let erased = unsafe { core::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Body>(body) };
        // SAFETY: the exclusive lock is held, the previous job was closed and left by all workers.
        unsafe { *shared.job.get() = Some(erased) };
        let job = (shared.state.load(SeqCst) & !(OPEN | ACTIVE)).wrapping_add(JOB);
        shared.state.store(job | OPEN, SeqCst);
        if shared.sleepers.load(SeqCst) > 0 {
            drop(lock(&shared.sleep));
            shared.wake.notify_all();
        }
        let closing = Closing(shared);
        body(0);
        drop(closing);
        let panic = lock(&shared.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        drop(lock(&self.shared.sleep));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its jobs, so there is nothing to report here.
            let _ = worker.join();
        }
    }
}

/// Closes the open job and waits until every worker has left it, also when the caller's own share unwinds.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        shared.state.fetch_and(!OPEN, SeqCst);
        let idle = || shared.state.load(SeqCst) & ACTIVE == 0;
        if spin_until(idle) {
            return;
        }
        let mut guard = lock(&shared.wait);
        shared.waiting.store(true, SeqCst);
        while !idle() {
            guard = shared.idle.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        shared.waiting.store(false, SeqCst);
    }
}

impl Shared {
    /// The life of worker `thread`: enter each job once while it is open.
    fn work(&self, thread: usize) {
        self.started.fetch_add(1, SeqCst);
        let mut last = 0;
        loop {
            let open = |state: u64| state & OPEN != 0 && state / JOB != last;
            let ready = || self.stop.load(SeqCst) || open(self.state.load(SeqCst));
            if !spin_until(ready) {
                self.sleep_until(ready);
            }
            if self.stop.load(SeqCst) {
                return;
            }
            let state = self.state.load(SeqCst);
            if open(state) && self.state.compare_exchange(state, state + 1, SeqCst, SeqCst).is_ok() {
                last = state / JOB;
                self.take_part(thread);
            }
        }
    }

    /// Sleeps until `ready`. The counter is raised before the last look, and the caller looks at it after
    /// opening a job, so one of the two sees the other.
    fn sleep_until(&self, ready: impl Fn() -> bool) {
        let mut guard = lock(&self.sleep);
        self.sleepers.fetch_add(1, SeqCst);
        while !ready() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    /// Runs the job entered and leaves it, whatever happens in it.
    fn take_part(&self, thread: usize) {
        // SAFETY: the job was entered while open, so the caller cannot write the cell or return before this
        // worker leaves.
        if let Some(body) = unsafe { *self.job.get() } {
            // SAFETY: as above, the closure is still borrowed by the caller.
            let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { (*body)(thread) }));
            if let Err(panic) = outcome {
                lock(&self.panic).get_or_insert(panic);
            }
        }
        let before = self.state.fetch_sub(1, SeqCst);
        if before & ACTIVE == 1 && self.waiting.load(SeqCst) {
            drop(lock(&self.wait));
            self.idle.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
