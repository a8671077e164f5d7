//! Overlays: where lines fall, where hatching falls, and what is refused.

use super::*;

const COLOURS: [Rgb; 2] = [[0, 0, 0], [0, 255, 0]];

fn gray(width: usize, height: usize) -> Frame {
    Frame::new(width, height, 1, Samples::U8(vec![100; width * height]), Source::new("test", 8)).unwrap()
}

fn pixel(frame: &Frame, row: usize, column: usize) -> Rgb {
    let Samples::U8(values) = frame.samples() else { panic!("8 bits expected") };
    let at = (row * frame.width() + column) * 3;
    [values[at], values[at + 1], values[at + 2]]
}

/// A 5×7 map with a 3×5 block of class 1 in its middle.
fn block() -> Labels {
    let inside = |index: usize| (1..=3).contains(&(index / 7)) && (1..=5).contains(&(index % 7));
    Labels::new(7, 5, (0..35).map(|index| u8::from(inside(index))).collect()).unwrap()
}

#[test]
fn the_contour_lies_inside_the_region_and_the_rest_is_tinted() {
    let style = Style { tint: 51, ..Style::default() };
    let overlay = compose(&gray(7, 5), &block(), &COLOURS, None, style).unwrap();
    assert_eq!((overlay.width(), overlay.height(), overlay.channels()), (7, 5, 3));
    assert_eq!(pixel(&overlay, 0, 0), [100; 3], "background is untouched");
    assert_eq!(pixel(&overlay, 1, 1), [0, 255, 0], "the contour is opaque");
    assert_eq!(pixel(&overlay, 2, 5), [0, 255, 0]);
    assert_eq!(pixel(&overlay, 2, 3), [80, 131, 80], "the inside is tinted by a fifth");
}

#[test]
fn a_region_at_the_border_has_no_contour_along_it() {
    let labels = Labels::new(4, 4, vec![1; 16]).unwrap();
    let style = Style { tint: 0, ..Style::default() };
    let overlay = compose(&gray(4, 4), &labels, &COLOURS, None, style).unwrap();
    assert_eq!(overlay.samples(), &Samples::U8(vec![100; 48]));
}

#[test]
fn only_uncertain_pixels_are_hatched() {
    let labels = Labels::new(7, 5, vec![0; 35]).unwrap();
    let style = Style { uncertain_below: 1000, ..Style::default() };
    let mut confidence = vec![1000u16; 35];
    let plain = compose(&gray(7, 5), &labels, &COLOURS, Some(&confidence), style).unwrap();
    assert_eq!(plain.samples(), &Samples::U8(vec![100; 105]));
    confidence[..7].fill(999);
    let hatched = compose(&gray(7, 5), &labels, &COLOURS, Some(&confidence), style).unwrap();
    let changed: Vec<usize> = (0..7).filter(|&column| pixel(&hatched, 0, column) != [100; 3]).collect();
    assert_eq!(changed, vec![0, 1, 6]);
    assert!((1..5).all(|row| (0..7).all(|column| pixel(&hatched, row, column) == [100; 3])));
}

#[test]
fn mismatches_are_refused() {
    let labels = Labels::new(5, 7, vec![0; 35]).unwrap();
    let error = compose(&gray(7, 5), &labels, &COLOURS, None, Style::default()).unwrap_err();
    assert_eq!(error, OverlayError::Extent { frame: (7, 5), pixels: 35 });
    let error = compose(&gray(7, 5), &block(), &COLOURS, Some(&[0; 34]), Style::default()).unwrap_err();
    assert_eq!(error, OverlayError::Extent { frame: (7, 5), pixels: 34 });
    let error = compose(&gray(7, 5), &block(), &COLOURS[..1], None, Style::default()).unwrap_err();
    assert_eq!(error, OverlayError::NoColour { class: 1, colours: 1 });
}
