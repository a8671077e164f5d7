//! The trials themselves: the same digests again, from every tier of this machine.

use super::*;
use candor_core::kernels::Reference;
use candor_cpu::{CpuKernels, Tier};

#[test]
fn every_tier_of_this_machine_answers_alike_and_trials_differ() {
    let mut memory = Memory::new();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..300 {
        let expected = run(number, &Reference, &mut memory);
        for tier in Tier::available() {
            let kernels = CpuKernels::new(tier, 1).unwrap();
            assert_eq!(run(number, &kernels, &mut memory), expected, "trial {number} on {tier}");
        }
        seen.insert(expected);
    }
    assert!(seen.len() > 295, "only {} of 300 outputs differ", seen.len());
}
