//! Label maps: extents, counts and remapping.

use super::*;

#[test]
fn counts_and_distinct_values_agree() {
    let labels = Labels::new(3, 2, vec![0, 255, 255, 7, 0, 255]).unwrap();
    assert_eq!(labels.distinct(), vec![0, 7, 255]);
    assert_eq!(labels.counts()[255], 3);
    assert_eq!(labels.counts().iter().sum::<usize>(), 6);
    assert_eq!(labels.mapped(|value| u8::from(value > 0)).values(), &[0, 1, 1, 1, 0, 1]);
}

#[test]
fn extents_must_match_the_values() {
    assert_eq!(Labels::new(2, 2, vec![0; 3]), Err(FrameError::Length { expected: 4, found: 3 }));
    assert!(matches!(Labels::new(0, 2, vec![]), Err(FrameError::Empty { .. })));
}
