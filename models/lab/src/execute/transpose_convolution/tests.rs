//! ConvTranspose against the definition: every input element spreads the kernel over the output.

use super::super::tests::{Random, assert_close};
use super::conv_transpose;
use crate::network::{Tensor, Window};

/// The definition, scattering one input element at a time.
fn naive(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: &Window,
    padding: [usize; 2],
    groups: usize,
) -> Tensor {
    let (xs, ws) = (x.as_f32().unwrap(), weight.as_f32().unwrap());
    let [n, c, h, w] = x.shape[..] else { panic!() };
    let [_, og, kh, kw] = weight.shape[..] else { panic!() };
    let [top, left, bottom, right] = window.pads;
    let oh = (h - 1) * window.stride[0] + (kh - 1) * window.dilation[0] + 1 + padding[0] - top - bottom;
    let ow = (w - 1) * window.stride[1] + (kw - 1) * window.dilation[1] + 1 + padding[1] - left - right;
    let o = og * groups;
    let mut out: Vec<f32> = (0..n * o * oh * ow).map(|i| bias.as_f32().unwrap()[i / (oh * ow) % o]).collect();
    for (index, value) in xs.iter().enumerate() {
        let (image, channel, y, x) = (index / (c * h * w), index / (h * w) % c, index / w % h, index % w);
        for (k, ky, kx) in (0..og * kh * kw).map(|i| (i / (kh * kw), i / kw % kh, i % kw)) {
            let oy = (y * window.stride[0] + ky * window.dilation[0]).checked_sub(top).filter(|&oy| oy < oh);
            let ox = (x * window.stride[1] + kx * window.dilation[1]).checked_sub(left).filter(|&ox| ox < ow);
            if let (Some(oy), Some(ox)) = (oy, ox) {
                let target = channel / (c / groups) * og + k;
                out[((image * o + target) * oh + oy) * ow + ox] +=
                    value * ws[((channel * og + k) * kh + ky) * kw + kx];
            }
        }
    }
    Tensor::f32(vec![n, o, oh, ow], out)
}

fn check(x: &Tensor, weight: &Tensor, bias: &Tensor, window: &Window, padding: [usize; 2], groups: usize) {
    let expected = naive(x, weight, bias, window, padding, groups);
    let actual = conv_transpose(x, weight, Some(bias), window, padding, groups, &expected.shape).unwrap();
    assert_close(
        &actual,
        &expected,
        1e-3,
        &format!("{:?} * {:?}, {window:?}, {groups}", x.shape, weight.shape),
    );
}

#[test]
fn conv_transpose_matches_the_definition_over_random_geometries() {
    let random = &mut Random(5);
    let mut checked = 0;
    while checked < 300 {
        let mut pair = |low, high| [random.between(low, high), random.between(low, high)];
        let (kernel, stride, dilation, padding) = (pair(1, 4), pair(1, 3), pair(1, 2), pair(0, 2));
        let ([top, left], [bottom, right], extents) = (pair(0, 2), pair(0, 2), pair(1, 9));
        let window = Window { kernel, stride, dilation, pads: [top, left, bottom, right] };
        let span = |axis: usize| (extents[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1;
        if span(0) <= top + bottom || span(1) <= left + right {
            continue;
        }
        let groups = random.between(1, 3);
        let (group_in, group_out) = (random.between(1, 4), random.between(1, 4));
        let images = random.between(1, 2);
        let x = random.tensor(&[images, group_in * groups, extents[0], extents[1]]);
        let weight = random.tensor(&[group_in * groups, group_out, kernel[0], kernel[1]]);
        check(&x, &weight, &random.tensor(&[group_out * groups]), &window, padding, groups);
        checked += 1;
    }
}

#[test]
fn many_strips_and_threads_change_nothing() {
    let random = &mut Random(6);
    let x = random.tensor(&[1, 9, 150, 201]);
    for (kernel, stride, pad) in [(2, 2, 0), (4, 2, 1), (3, 1, 1)] {
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1, 1], pads: [pad; 4] };
        check(&x, &random.tensor(&[9, 7, kernel, kernel]), &random.tensor(&[7]), &window, [0, 0], 1);
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let random = &mut Random(7);
    let x = random.tensor(&[1, 4, 5, 5]);
    let weight = random.tensor(&[4, 3, 2, 2]);
    let window = Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0; 4] };
    assert!(conv_transpose(&x, &weight, None, &window, [0, 0], 1, &[1, 3, 10, 10]).is_ok());
    assert!(conv_transpose(&x, &weight, None, &window, [0, 0], 3, &[1, 9, 10, 10]).is_err());
    assert!(conv_transpose(&x, &weight, None, &window, [1, 0], 1, &[1, 3, 10, 10]).is_err());
    assert!(conv_transpose(&x, &weight, None, &window, [usize::MAX, 0], 1, &[1, 3, 10, 10]).is_err());
    let pads = Window { pads: [9; 4], ..window };
    assert!(conv_transpose(&x, &weight, None, &pads, [0, 0], 1, &[1, 3, 10, 10]).is_err());
    let flat = random.tensor(&[1, 4, 0, 5]);
    assert!(conv_transpose(&flat, &weight, None, &window, [0, 0], 1, &[1, 3, 0, 10]).is_err());
}
