//! Conv against the definition, written as seven loops.

use super::super::tests::{Random, assert_close};
use super::conv;
use crate::network::{Tensor, Window};

/// The definition: output extents from the shapes, then one sum per output element.
fn naive(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: &Window, groups: usize) -> Tensor {
    let (xs, ws) = (x.as_f32().unwrap(), weight.as_f32().unwrap());
    let [n, c, h, w] = x.shape[..] else { panic!() };
    let [o, cg, kh, kw] = weight.shape[..] else { panic!() };
    let [top, left, bottom, right] = window.pads;
    let oh = (h + top + bottom - ((kh - 1) * window.dilation[0] + 1)) / window.stride[0] + 1;
    let ow = (w + left + right - ((kw - 1) * window.dilation[1] + 1)) / window.stride[1] + 1;
    let mut out = Vec::new();
    for (image, channel) in (0..n).flat_map(|image| (0..o).map(move |channel| (image, channel))) {
        for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let mut sum = bias.map_or(0.0, |bias| bias.as_f32().unwrap()[channel]);
            for (k, ky, kx) in (0..cg * kh * kw).map(|i| (i / (kh * kw), i / kw % kh, i % kw)) {
                let iy = (y * window.stride[0] + ky * window.dilation[0]).checked_sub(top);
                let ix = (x * window.stride[1] + kx * window.dilation[1]).checked_sub(left);
                if let (Some(iy), Some(ix)) = (iy.filter(|&iy| iy < h), ix.filter(|&ix| ix < w)) {
                    let source = channel / (o / groups) * cg + k;
                    sum += xs[((image * c + source) * h + iy) * w + ix]
                        * ws[((channel * cg + k) * kh + ky) * kw + kx];
                }
            }
            out.push(sum);
        }
    }
    Tensor::f32(vec![n, o, oh, ow], out)
}

/// A window that fits an input of extents `input`.
fn random_window(random: &mut Random, input: [usize; 2]) -> Window {
    loop {
        let mut pair = |low, high| [random.between(low, high), random.between(low, high)];
        let (kernel, stride, dilation) = (pair(1, 5), pair(1, 3), pair(1, 3));
        let ([top, left], [bottom, right]) = (pair(0, 3), pair(0, 3));
        let fits = |axis: usize, pads: usize| (kernel[axis] - 1) * dilation[axis] < input[axis] + pads;
        if fits(0, top + bottom) && fits(1, left + right) {
            return Window { kernel, stride, dilation, pads: [top, left, bottom, right] };
        }
    }
}

fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: &Window, groups: usize) {
    let expected = naive(x, weight, bias, window, groups);
    let actual = conv(x, weight, bias, window, groups, &expected.shape).unwrap();
    assert_close(
        &actual,
        &expected,
        1e-3,
        &format!("{:?} * {:?}, {window:?}, {groups}", x.shape, weight.shape),
    );
}

#[test]
fn conv_matches_the_definition_over_random_geometries() {
    let random = &mut Random(1);
    for case in 0..400 {
        let groups = random.between(1, 3);
        let (group_in, group_out) = (random.between(1, 5), random.between(1, 5));
        let extents = [random.between(1, 14), random.between(1, 14)];
        let window = random_window(random, extents);
        let images = random.between(1, 2);
        let x = random.tensor(&[images, group_in * groups, extents[0], extents[1]]);
        let weight = random.tensor(&[group_out * groups, group_in, window.kernel[0], window.kernel[1]]);
        let bias = random.tensor(&[group_out * groups]);
        check(&x, &weight, (case % 2 == 0).then_some(&bias), &window, groups);
    }
}

#[test]
fn strips_and_threads_that_cut_through_rows_change_nothing() {
    let random = &mut Random(2);
    for (channels, extents) in [(3, [67, 131]), (40, [50, 90]), (300, [23, 61])] {
        let x = random.tensor(&[1, channels, extents[0], extents[1]]);
        for (kernel, stride, pad) in [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (5, 1, 0)] {
            let window = Window {
                kernel: [kernel; 2],
                stride: [stride; 2],
                dilation: [1, 1],
                pads: [pad, pad, 0, 2 * pad],
            };
            let weight = random.tensor(&[5, channels, kernel, kernel]);
            check(&x, &weight, None, &window, 1);
        }
    }
}

#[test]
fn depthwise_on_several_threads_matches_the_definition() {
    let random = &mut Random(3);
    let x = random.tensor(&[2, 6, 60, 70]);
    for stride in [1, 2, 3] {
        let window = Window { kernel: [3, 5], stride: [stride, 1], dilation: [1, 2], pads: [1, 4, 1, 3] };
        check(&x, &random.tensor(&[12, 1, 3, 5]), Some(&random.tensor(&[12])), &window, 6);
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let random = &mut Random(4);
    let x = random.tensor(&[1, 4, 8, 8]);
    let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [0; 4] };
    let weight = random.tensor(&[6, 4, 3, 3]);
    let declared = [1, 6, 6, 6];
    assert!(conv(&x, &weight, None, &window, 1, &declared).is_ok());
    let refused =
        |x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: Window, groups, declared: &[usize]| {
            assert!(
                conv(x, weight, bias, &window, groups, declared).is_err(),
                "{window:?} {groups} {declared:?}"
            );
        };
    refused(&x, &weight, None, window, 2, &declared);
    refused(&x, &weight, None, window, 0, &declared);
    refused(&x, &weight, None, window, 1, &[1, 6, 8, 8]);
    refused(&x, &weight, Some(&random.tensor(&[4])), window, 1, &declared);
    refused(&x, &random.tensor(&[6, 4, 5, 5]), None, window, 1, &declared);
    refused(&random.tensor(&[4, 8, 8]), &weight, None, window, 1, &declared);
    refused(&random.tensor(&[1, 0, 8, 8]), &random.tensor(&[6, 0, 3, 3]), None, window, 1, &declared);
    refused(&x, &weight, None, Window { stride: [0, 1], ..window }, 1, &declared);
    refused(&x, &weight, None, Window { dilation: [usize::MAX, 1], ..window }, 1, &declared);
    refused(&x, &weight, None, Window { pads: [usize::MAX; 4], ..window }, 1, &declared);
    refused(&x, &weight, None, Window { dilation: [4, 4], ..window }, 1, &declared);
}
