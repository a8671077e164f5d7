//! The trials themselves: the same digests again, from every tier of this machine.

use super::*;
use candor_core::kernels::Reference;
use candor_cpu::{CpuKernels, Tier};

/// As many as the boards compute.
const TRIALS: u64 = 10_000;

#[test]
fn every_tier_of_this_machine_answers_alike_and_trials_differ() {
    let mut memory = Memory::new();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..TRIALS {
        let expected = run(number, &Reference, &mut memory);
        for tier in Tier::available() {
            let kernels = CpuKernels::new(tier, 1).unwrap();
            assert_eq!(run(number, &kernels, &mut memory), expected, "trial {number} on {tier}");
        }
        seen.insert(expected);
    }
    assert!(seen.len() > 9_800, "only {} of 10,000 outputs differ", seen.len());
}
