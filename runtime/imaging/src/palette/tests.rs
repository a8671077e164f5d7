//! Colours must differ, and the scale must rise.

use super::*;

#[test]
fn all_class_colours_differ() {
    let mut colours = class_colours(256);
    assert_eq!((colours.len(), colours[0]), (256, [0, 0, 0]));
    colours.sort_unstable();
    colours.dedup();
    assert_eq!(colours.len(), 256);
    assert_eq!(class_colours(1000).len(), 256);
}

#[test]
fn the_heat_scale_grows_lighter_at_every_step() {
    let lightness =
        |[red, green, blue]: Rgb| 77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue);
    let scale = heat_scale();
    assert_eq!((scale[0], scale[255]), (MAGMA[0], MAGMA[8]));
    assert!(scale.windows(2).all(|pair| lightness(pair[0]) <= lightness(pair[1])));
}
