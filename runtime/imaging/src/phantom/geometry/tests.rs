//! Distances and painting against what can be worked out by hand.

use super::*;

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

#[test]
fn a_circle_has_its_exact_distance_and_an_ellipse_its_edge() {
    assert!(close(ellipse((4.0, 4.0), (1.0, 0.0), (2.0, 2.0)), 3.0));
    assert!(close(ellipse((1.0, 0.0), (1.0, 0.0), (2.0, 2.0)), -2.0));
    assert!(close(ellipse((3.0, 0.0), (0.0, 0.0), (3.0, 1.0)), 0.0));
    assert!(close(ellipse((0.0, -1.0), (0.0, 0.0), (3.0, 1.0)), 0.0));
}

#[test]
fn a_capsule_tapers_from_end_to_end() {
    let at = |point| capsule(point, (0.0, 0.0), (10.0, 0.0), (2.0, 1.0));
    assert!(close(at((0.0, 5.0)), 3.0));
    assert!(close(at((5.0, 5.0)), 3.5));
    assert!(close(at((14.0, 0.0)), 3.0));
    assert!(close(capsule((3.0, 4.0), (0.0, 0.0), (0.0, 0.0), (1.0, 1.0)), 4.0));
}

#[test]
fn turning_keeps_length_and_quarter_turns_are_exact() {
    assert_eq!(turned((1.0, 0.0), 1.0), (0.0, 1.0));
    assert!(close(length(turned((3.0, 4.0), 0.37)), 5.0));
}

#[test]
fn smooth_extremes_equal_plain_ones_away_from_the_edge() {
    assert!(close(smooth_max(5.0, 1.0, 2.0), 5.0));
    assert!(close(smooth_min(5.0, 1.0, 2.0), 1.0));
    assert!(close(smooth_max(1.0, 1.0, 2.0), 1.5));
}

#[test]
fn harmonics_are_cosines_of_multiples() {
    let third = Harmonics::new(3, vec![(1.0, 0.0)]);
    let half = 3f64.sqrt() / 2.0;
    assert!(close(third.at((2.0, 0.0)), 1.0));
    assert!(close(third.at((0.5, half)), -1.0), "cos 180° at 60°");
    assert!(close(Harmonics::new(2, vec![(0.0, 1.0)]).at((1.0, 1.0)), 1.0), "sin 90° at 45°");
}

#[test]
fn a_visit_covers_the_box_and_no_pixel_beyond_the_raster() {
    let canvas = Canvas::new(8, 4, 2.0, (0.0, 0.0), 0.0);
    let mut seen = Vec::new();
    canvas.visit((-100.0, -100.0), (100.0, 100.0), |index, _| seen.push(index));
    assert_eq!(seen, (0..32).collect::<Vec<_>>());
    let mut count = 0;
    canvas.visit((50.0, 50.0), (60.0, 60.0), |_, _| count += 1);
    assert_eq!(count, 0);
}

#[test]
fn painted_area_matches_the_shape() {
    let mut canvas = Canvas::new(101, 77, 0.5, (3.0, -2.0), 0.0);
    canvas.paint_ellipse((3.0, -2.0), (12.0, 7.0), 1.0);
    let area = canvas.values.iter().sum::<f64>() * 0.25;
    assert!((area - std::f64::consts::PI * 84.0).abs() < 1.5, "{area}");
}
