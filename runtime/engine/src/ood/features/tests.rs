//! Sums over some of the rows, however these arrive.

use super::*;
use candor_core::kernels::Reference;
use candor_core::tensor::Element;

const CHANNELS: usize = 5;
const HEIGHT: usize = 23;
const WIDTH: usize = 9;
const ZERO_POINT: u8 = 11;

fn code(y: usize, x: usize, channel: usize) -> u8 {
    (y * 31 + x * 7 + channel * 57 + y * x * channel) as u8
}

/// A tensor within a halo, and its layout.
fn tensor() -> (Layout, Vec<u8>) {
    let halo = Halo { top: 2, bottom: 1, left: 3, right: 1 };
    let layout = Layout::packed(HEIGHT, WIDTH, CHANNELS, halo, Element::Code);
    let mut data = vec![99; layout.bytes()];
    let mut rows = candor_core::tensor::RowsMut::whole(layout, &mut data);
    for (y, x, channel) in every_code(1) {
        rows.set_code(y, x, channel, code(y, x, channel));
    }
    (layout, data)
}

/// Places of the codes of every `step`-th row.
fn every_code(step: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let pixels = (0..HEIGHT).step_by(step).flat_map(|y| (0..WIDTH).map(move |x| (y, x)));
    pixels.flat_map(|(y, x)| (0..CHANNELS).map(move |channel| (y, x, channel)))
}

fn features(step: usize, spectrum: usize) -> Features {
    let place = TapPlace { step: 0, every: step, spectrum };
    let pixels = HEIGHT.div_ceil(step) * WIDTH;
    let tap = Tap { place, channels: CHANNELS, zero_point: ZERO_POINT, pixels };
    Features {
        taps: vec![tap],
        intensities: vec![],
        sums: vec![[0; 2]; CHANNELS],
        pixels: vec![0],
        products: vec![0; triangle(tap.spectrum())],
        channel_scratch: vec![[0; 2]; CHANNELS],
        product_scratch: vec![0; triangle(CHANNELS)],
    }
}

/// Σ and Σ² of the channels over every `step`-th row, and the Gram matrix of the first `spectrum`.
fn expected(step: usize, spectrum: usize) -> (Vec<[u64; 2]>, Vec<i64>) {
    let mut gram = vec![0i64; spectrum * spectrum];
    let mut sums = vec![[0u64; 2]; CHANNELS];
    for (y, x, channel) in every_code(step) {
        let own = u64::from(code(y, x, channel));
        sums[channel] = [sums[channel][0] + own, sums[channel][1] + own * own];
        if channel < spectrum {
            let centred = |channel| i64::from(code(y, x, channel)) - i64::from(ZERO_POINT);
            (0..spectrum).for_each(|other| {
                gram[channel * spectrum + other] += centred(channel) * centred(other);
            });
        }
    }
    (sums, gram)
}

#[test]
fn sums_are_of_every_so_many_rows_however_they_arrive() {
    let (layout, data) = tensor();
    for (step, spectrum) in [(1, 5), (2, 3), (3, 4), (4, 1), (7, 9), (22, 5), (23, 2), (40, 5)] {
        let (sums, gram) = expected(step, spectrum.min(CHANNELS));
        for strip in [1, 2, 5, HEIGHT] {
            let mut features = features(step, spectrum);
            for first in (0..HEIGHT).step_by(strip) {
                let stored = first + layout.halo.top;
                let count = strip.min(HEIGHT - first);
                let start = stored * layout.row_stride;
                let end = start + (count - 1) * layout.row_stride + layout.row_bytes();
                let rows = Rows { layout, origin: stored, data: &data[start..end] };
                features.add(0, rows, &Reference);
            }
            assert_eq!(features.grams(), std::slice::from_ref(&gram), "every {step} in strips of {strip}");
            assert_eq!(features.sums, sums, "every {step} in strips of {strip}");
            assert_eq!(features.pixels, [(HEIGHT.div_ceil(step) * WIDTH) as u64]);
        }
    }
}
