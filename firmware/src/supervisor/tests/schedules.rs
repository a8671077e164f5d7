//! Random schedules of polls, frames and deaths: from the last frame of the box to an open interlock.
//!
//! `CANDOR_SCHEDULES` sets how many.

use super::*;

/// Longest time from the last frame to the open interlock.
const LIMIT_US: u64 = 202 * MS;
/// Longest time between two polls.
const POLL_US_MAX: u64 = 2 * MS;
/// After which a board's watchdog resets, and the longest time from a hang to that.
const WATCHDOG_US: u64 = 100 * MS;
const RESET_US_MAX: u64 = 120 * MS;

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn count() -> u64 {
    std::env::var("CANDOR_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

#[test]
fn a_box_that_dies_at_any_moment_is_stopped_in_time() {
    let closed = World::closed();
    let mut worst = 0;
    for seed in 0..count() {
        let mut random = Random(seed);
        let mut world = closed.clone();
        let death_us = world.now_us + random.below(250 * MS);
        let mut heard_us = world.now_us;
        while world.supervisor.state() == State::Closed {
            if world.now_us < death_us {
                let before = world.next_heartbeat_us;
                world.work();
                if world.next_heartbeat_us > before {
                    // Frames leave and arrive late by some milliseconds, in order.
                    world.next_heartbeat_us += random.below(20 * MS);
                    let last = world.wire.iter().map(|(at, _)| *at).max().unwrap_or(0);
                    world.delay_us = (1 + random.below(20 * MS)).max(last.saturating_sub(world.now_us));
                }
            }
            let waiting = world.wire.len();
            world.poll(1 + random.below(POLL_US_MAX));
            if world.wire.len() < waiting {
                heard_us = world.now_us;
            }
            assert!(world.now_us < heard_us + LIMIT_US + POLL_US_MAX, "schedule {seed}");
        }
        assert_eq!(world.supervisor.cause(), Cause::Silence, "schedule {seed}");
        assert!(!world.board.closed);
        worst = worst.max(world.now_us - heard_us);
        assert!(worst <= LIMIT_US, "schedule {seed}: open after {worst} us");
    }
    println!("{} schedules: the interlock opened {worst} us after the last frame at most", count());
}

#[test]
fn a_supervisor_that_hangs_at_any_moment_is_reset_in_time_and_never_otherwise() {
    let closed = World::closed();
    let mut worst = 0;
    for seed in 0..count() / 20 {
        let mut random = Random(!seed);
        let mut world = closed.clone();
        let hang_us = world.now_us + random.below(300 * MS);
        let mut fed_us = world.now_us;
        while world.now_us < hang_us {
            world.work();
            let before = world.board.fed;
            world.poll(1 + random.below(POLL_US_MAX));
            if world.board.fed > before {
                fed_us = world.now_us;
            }
            assert!(world.now_us - fed_us < WATCHDOG_US / 2, "schedule {seed}: nearly reset while well");
        }
        worst = worst.max((fed_us + WATCHDOG_US) - world.now_us);
        assert!(worst <= RESET_US_MAX, "schedule {seed}: reset after {worst} us");
    }
    println!("{} schedules: reset {worst} us after the hang at most", count() / 20);
}
