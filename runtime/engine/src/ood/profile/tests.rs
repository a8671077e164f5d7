//! Words of taps.

use super::*;

#[test]
fn a_word_gives_back_its_tap() {
    for (step, every) in [(0, 1), (7, 2), ((1 << STEP_BITS) - 1, EVERY_LIMIT)] {
        let own = TapPlace { step, every, spectrum: 32 };
        assert_eq!(place(tap_word(own), 32), own);
    }
    let clamped = |every| place(tap_word(TapPlace { step: 7, every, spectrum: 1 }), 1).every;
    assert_eq!([clamped(0), clamped(1000)], [1, EVERY_LIMIT]);
}

#[test]
fn words_that_hold_a_step_alone_mean_every_row_and_channel() {
    assert_eq!(place(7, 0), TapPlace { step: 7, every: 1, spectrum: usize::MAX });
}
