//! Volumes, broadcasting and views at their edges.

use super::{ELEMENTS_MAX, View, broadcast, broadcast_strides, offset, strides, volume};

#[test]
fn volumes_are_bounded_even_behind_an_empty_axis() {
    assert_eq!(volume(&[]), Ok(1));
    assert_eq!(volume(&[3, 0, 5]), Ok(0));
    assert_eq!(volume(&[ELEMENTS_MAX]), Ok(ELEMENTS_MAX));
    assert!(volume(&[ELEMENTS_MAX + 1]).is_err());
    assert!(volume(&[usize::MAX, usize::MAX]).is_err());
    assert!(volume(&[0, usize::MAX, 2]).is_err());
    assert!(volume(&[1; 100]).is_err());
}

#[test]
fn shapes_broadcast_as_numpy_does() {
    assert_eq!(broadcast(&[2, 1, 4], &[3, 1]), Ok(vec![2, 3, 4]));
    assert_eq!(broadcast(&[], &[2, 3]), Ok(vec![2, 3]));
    assert_eq!(broadcast(&[0], &[1]), Ok(vec![0]));
    assert!(broadcast(&[2], &[3]).is_err());
    assert!(broadcast(&[0], &[3]).is_err());
}

#[test]
fn neighbouring_axes_that_continue_each_other_are_one_run() {
    let shape = [2, 3, 4, 5];
    let view = View::new(0, &shape, &strides(&shape));
    assert_eq!((view.run, view.stride), (120, 1));
    let view = View::new(0, &shape, &broadcast_strides(&[3, 1, 1], &shape));
    assert_eq!((view.run, view.stride), (20, 0));
    assert_eq!((0..6).map(|run| view.run_start(run)).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_view_fits_only_when_its_extreme_elements_do() {
    assert!(View::new(0, &[3, 4], &[4, 1]).fits(12));
    assert!(!View::new(0, &[3, 4], &[4, 1]).fits(11));
    assert!(View::new(11, &[3, 4], &[-4, -1]).fits(12));
    assert!(!View::new(10, &[3, 4], &[-4, -1]).fits(12));
    assert!(View::new(99, &[3, 0], &[4, 1]).fits(0));
}

#[test]
fn offsets_follow_strides() {
    assert_eq!(offset(5, &[2, 3], &[10, -1]), 8);
    assert_eq!(offset(0, &[], &[]), 0);
}
