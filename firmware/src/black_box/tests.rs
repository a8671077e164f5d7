//! Records that go on after a reset, and memory that holds no record.

use super::*;

#[test]
fn a_record_outlives_resets_and_keeps_the_last_stops() {
    let mut memory = BlackBox([0xdead_beef; WORDS]);
    assert!(!memory.open());
    assert_eq!((memory.resets(), memory.stops(), memory.stop(0)), (1, 0, None));
    for number in 0..11 {
        memory.record(Stop { time_ms: number * 10, cause: number as u8 });
        let mut copy = memory;
        assert!(copy.open());
        assert_eq!((copy.resets(), copy.stops()), (2, number + 1));
    }
    for ago in 0..STOPS as u32 {
        let number = 10 - ago;
        assert_eq!(memory.stop(ago), Some(Stop { time_ms: number * 10, cause: number as u8 }));
    }
    assert_eq!(memory.stop(STOPS as u32), None);
}

#[test]
fn every_flipped_bit_begins_a_new_record() {
    let mut memory = BlackBox::new();
    assert!(!memory.open(), "zeroed memory is no record");
    memory.record(Stop { time_ms: 5, cause: 3 });
    for bit in 0..WORDS * 32 {
        let mut damaged = memory;
        damaged.0[bit / 32] ^= 1 << (bit % 32);
        assert!(!damaged.open(), "bit {bit}");
        assert_eq!((damaged.resets(), damaged.stops()), (1, 0));
    }
}
