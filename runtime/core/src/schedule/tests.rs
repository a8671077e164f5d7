//! Entries in fewer bytes, places in an arena and channels of a row; whole schedules are run by the tests of
//! the workspace.

use super::*;
use crate::tensor::Halo;
use core::num::TryFromIntError;

fn entries(last: u16) -> [Entry; 6] {
    [
        Entry::Edges { tensor: last },
        Entry::Halo { tensor: 1, slot: 2, count: last },
        Entry::Load { input: 0, first: 3, count: 4, slot: last },
        Entry::Run { step: 5, first: 6, count: 7, slot: 8, inputs: [9, last], finishes: true },
        Entry::Finish { step: 10, first: 11, count: 12, slot: last },
        Entry::Move { tensor: 13, from: 14, to: 15, count: last },
    ]
}

#[test]
fn entries_of_bytes_say_the_same_and_no_number_is_cut() {
    for entry in entries(255) {
        let small: Entry<u8> = entry.map(u8::try_from).unwrap();
        assert_eq!(small.map(|number| Ok::<u16, Infallible>(number.into())), Ok(entry));
    }
    for entry in entries(256) {
        assert!(
            entry.map(|number| -> Result<u8, TryFromIntError> { number.try_into() }).is_err(),
            "{entry:?}"
        );
    }
    assert!(size_of::<Entry<u8>>() <= 8);
}

#[test]
fn channels_are_written_where_a_row_holds_them() {
    let halo = Halo { top: 0, left: 1, bottom: 0, right: 0 };
    let layout = Layout::packed(1, 2, 5, halo, Element::Code);
    let mut row = [0; 24];
    load_channel(&layout, &mut row, 1, &[7, 8]);
    load_channel(&layout, &mut row, 4, &[9]);
    let mut expected = [0; 24];
    (expected[5], expected[9], expected[16]) = (7, 8, 9);
    assert_eq!(row, expected);
}
