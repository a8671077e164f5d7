//! Every tier on one, two and three threads against the reference, byte for byte, on edge cases.
//!
//! `CANDOR_CASES` sets the number of random cases per operator; a fixed list of named edges always runs.

mod cases;
mod convolutions;
mod maps;
mod statistics;
mod windows;

use crate::{CpuKernels, Tier, TierError};

#[test]
fn an_absent_tier_is_refused_with_a_list_of_those_present() {
    let absent = if cfg!(target_arch = "x86_64") { Tier::Neon } else { Tier::Avx2 };
    let error = CpuKernels::new(absent, 1).unwrap_err();
    assert_eq!(error, TierError::Unavailable(absent));
    let text = error.to_string();
    assert!(text.contains(absent.name()) && text.contains("reference"), "{text}");
    for tier in Tier::available() {
        assert!(text.contains(tier.name()), "{text} lacks {tier}");
    }
}

#[test]
fn thread_counts_outside_the_limit_are_refused() {
    for threads in [0, crate::THREADS_LIMIT + 1] {
        let error = CpuKernels::new(Tier::Reference, threads).unwrap_err();
        assert!(matches!(error, TierError::Threads { requested, .. } if requested == threads));
    }
}

#[test]
fn names_lead_back_to_their_tiers_and_the_best_is_available() {
    for tier in Tier::available() {
        assert_eq!(Tier::from_name(tier.name()), Some(tier));
    }
    assert_eq!(Tier::from_name("sse9"), None);
    assert!(Tier::available().any(|tier| tier == Tier::best()));
    assert_eq!(Tier::available().next(), Some(Tier::Reference));
}

/// `CANDOR_REQUIRE` lists, among other things, the tiers without which a run would prove nothing.
#[test]
fn every_tier_that_is_required_is_available() {
    let required = std::env::var("CANDOR_REQUIRE").unwrap_or_default();
    for tier in required.split(',').filter_map(Tier::from_name) {
        assert!(tier.is_available(), "CANDOR_REQUIRE lists {tier}, which this CPU lacks");
    }
}
