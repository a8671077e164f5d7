//! Tests of arena packing.

use super::*;

/// A small linear congruential generator; quality does not matter here.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |limit| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % limit
    }
}

#[test]
fn buffers_alive_together_never_share_bytes() {
    for seed in 0..50 {
        let mut next = numbers(seed);
        let lifetimes: Vec<Lifetime> = (0..40)
            .map(|_| {
                let first = next(30);
                Lifetime { bytes: 1 + next(5000), first, last: first + next(8) }
            })
            .collect();
        let packing = pack(&lifetimes);
        for (i, a) in lifetimes.iter().enumerate() {
            assert_eq!(packing.offsets[i] % ALIGNMENT, 0);
            assert!(packing.offsets[i] + a.bytes <= packing.bytes);
            for (j, b) in lifetimes.iter().enumerate().skip(i + 1) {
                let together = a.first <= b.last && b.first <= a.last;
                let (x, y) = (packing.offsets[i], packing.offsets[j]);
                assert!(!together || x + a.bytes <= y || y + b.bytes <= x, "{i} and {j}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_chain_needs_two_buffers_not_all() {
    let chain: Vec<Lifetime> = (0..10).map(|i| Lifetime { bytes: 640, first: i, last: i + 1 }).collect();
    assert_eq!(pack(&chain).bytes, 1280);
}
