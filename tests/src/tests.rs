//! Checks of the shared test helpers: an optional thing is skipped only when nobody demanded it.

use std::alloc::{GlobalAlloc, Layout};

use crate::allocation::CountingAllocator;
use crate::{lists, require, snapshot};

#[test]
fn a_required_name_matches_whole_entries_only() {
    assert!(lists("thumb, oracle,data", "oracle"));
    assert!(!lists("qemu-aarch64", "qemu"));
    assert!(!lists("", "data"));
}

#[test]
fn what_is_found_is_handed_through() {
    assert_eq!(require("anything", Ok(7)), Some(7));
}

#[test]
fn an_allocation_counts_until_it_is_freed_and_its_peak_stays() {
    let counting = CountingAllocator::new();
    let layout = Layout::new::<[u64; 100]>();
    // SAFETY: the layout has a size, and the block is freed once with the layout it was made with.
    unsafe {
        let block = counting.alloc(layout);
        assert_eq!((counting.calls(), counting.live_bytes()), (1, 800));
        counting.dealloc(block, layout);
    }
    assert_eq!((counting.calls(), counting.live_bytes(), counting.peak_bytes()), (1, 0, 800));
}

#[test]
fn a_snapshot_differs_by_a_line_or_by_their_order() {
    assert_eq!(snapshot::differences("a\nb\n", "a\nb\n"), "");
    assert_eq!(snapshot::differences("a\nb\n", "a\nc\n"), "- b\n+ c\nsame lines otherwise");
    assert_eq!(snapshot::differences("a\nb\n", "b\na\n"), "same lines otherwise");
}
