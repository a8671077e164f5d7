//! An allocator that counts, for the tests which prove that nothing is allocated once a model is loaded.
//!
//! Use it in a test binary of its own, whose tests run one at a time: the counts belong to the whole
//! process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system allocator with counters; install it with `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct CountingAllocator {
    calls: AtomicUsize,
    live_bytes: AtomicUsize,
    peak_bytes: AtomicUsize,
}

impl CountingAllocator {
    /// An allocator that has counted nothing yet.
    pub const fn new() -> Self {
        Self { calls: AtomicUsize::new(0), live_bytes: AtomicUsize::new(0), peak_bytes: AtomicUsize::new(0) }
    }

    /// Allocations and reallocations made so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Bytes allocated and not yet freed.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes.load(Ordering::SeqCst)
    }

    /// The most bytes that were live at one time.
    pub fn peak_bytes(&self) -> usize {
        self.peak_bytes.load(Ordering::SeqCst)
    }

    fn grown(&self, bytes: usize) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let live = self.live_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.peak_bytes.fetch_max(live, Ordering::SeqCst);
    }

    fn shrunk(&self, bytes: usize) {
        self.live_bytes.fetch_sub(bytes, Ordering::SeqCst);
    }
}

// SAFETY: every call goes unchanged to the system allocator; the counters touch no memory it hands out.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.grown(layout.size());
        // SAFETY: the caller keeps this method's contract, which is the system allocator's own.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.shrunk(layout.size());
        // SAFETY: the caller keeps this method's contract, which is the system allocator's own.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.grown(new_size);
        self.shrunk(layout.size());
        // SAFETY: the caller keeps this method's contract, which is the system allocator's own.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
