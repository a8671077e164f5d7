//! Tests of planes.

use super::*;

const ORDERS: [ChannelOrder; 3] = [ChannelOrder::Gray, ChannelOrder::Rgb, ChannelOrder::Bgr];

/// Every sample of a plane, read in each of the four ways.
fn samples(plane: Plane<'_>, count: usize) -> Vec<u16> {
    let single: Vec<u16> = (0..count).map(|index| plane.at(index)).collect();
    let mut written = vec![0; count];
    plane.write(&mut written, |sample| sample);
    let mut visited = Vec::new();
    plane.for_each(|sample| visited.push(sample));
    assert_eq!((&written, &visited), (&single, &single));
    for (index, &sample) in single.iter().enumerate() {
        let mut rest = vec![0; count - index];
        plane.range(index..count).write(&mut rest, |sample| sample);
        assert_eq!((rest[0], plane.range(index..count).at(0)), (sample, sample));
    }
    single
}

#[test]
fn the_ways_to_read_a_plane_agree_and_depth_does_not_matter() {
    let narrow: Vec<u8> = (0..4 * 5 * 3).map(|at: u32| (at * 37 + 11) as u8).collect();
    let wide: Vec<u16> = narrow.iter().map(|&sample| sample.into()).collect();
    for channels in [1, 3] {
        let count = narrow.len() / channels;
        let frame = |samples| FrameView { width: count / 2, height: 2, channels, full_scale: 255, samples };
        for order in ORDERS {
            for channel in 0..if order == ChannelOrder::Gray { 1 } else { 3 } {
                let of = |samples| self::samples(Plane::of(&frame(samples), order, channel), count);
                let read = of(Samples::U8(&narrow));
                assert_eq!(read, of(Samples::U16(&wide)));
                let expected = |at: usize| match (channels, order) {
                    (1, _) => wide[at],
                    (_, ChannelOrder::Rgb) => wide[3 * at + channel],
                    (_, ChannelOrder::Bgr) => wide[3 * at + 2 - channel],
                    (_, ChannelOrder::Gray) => {
                        let [red, green, blue] = [0, 1, 2].map(|color| u32::from(wide[3 * at + color]));
                        ((77 * red + 150 * green + 29 * blue + 128) / 256) as u16
                    }
                };
                assert_eq!(read, (0..count).map(expected).collect::<Vec<_>>(), "{channels} {order:?}");
            }
        }
    }
}
