//! Pools against the definition: every window enumerated, every position classified.

use super::super::tests::{Random, assert_close};
use super::{average_pool, max_pool};
use crate::network::{Data, Tensor, Window};

/// Output extents, enumerated: floor mode takes windows that end inside the padded input; ceil mode also
/// the first that ends outside, if it starts inside the input or its leading padding.
fn extents(window: &Window, input: [usize; 2], ceil: bool) -> [usize; 2] {
    [0, 1].map(|axis| {
        let (stride, begin, end) = (window.stride[axis], window.pads[axis], window.pads[axis + 2]);
        let span = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        let padded = begin + input[axis] + end;
        let whole = (0..).take_while(|i| i * stride + span <= padded).count();
        let ends_exactly = (whole - 1) * stride + span == padded;
        let partial = ceil && !ends_exactly && whole * stride < begin + input[axis];
        // A whole window may itself start in the trailing padding; ceil mode drops the last such.
        let late = ceil && !partial && ends_exactly && (whole - 1) * stride >= begin + input[axis];
        whole + usize::from(partial) - usize::from(late)
    })
}

/// The elements under the window at (y, x), and how many positions lie in the padded input.
fn under(input: &[f32], size: [usize; 2], window: &Window, at: [usize; 2]) -> (Vec<f32>, usize) {
    let (mut values, mut padded) = (Vec::new(), 0);
    for (ky, kx) in (0..window.kernel[0]).flat_map(|ky| (0..window.kernel[1]).map(move |kx| (ky, kx))) {
        let y = at[0] * window.stride[0] + ky * window.dilation[0];
        let x = at[1] * window.stride[1] + kx * window.dilation[1];
        let [top, left, bottom, right] = window.pads;
        padded += usize::from(y < top + size[0] + bottom && x < left + size[1] + right);
        if (top..top + size[0]).contains(&y) && (left..left + size[1]).contains(&x) {
            values.push(input[(y - top) * size[1] + x - left]);
        }
    }
    (values, padded)
}

fn naive(x: &Tensor, window: &Window, ceil: bool, fold: impl Fn(&[f32], usize) -> f32) -> Tensor {
    let [n, c, h, w] = x.shape[..] else { panic!() };
    let [oh, ow] = extents(window, [h, w], ceil);
    let mut out = Vec::new();
    for plane in x.as_f32().unwrap().chunks(h * w) {
        for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let (values, padded) = under(plane, [h, w], window, [y, x]);
            out.push(fold(&values, padded));
        }
    }
    Tensor::f32(vec![n, c, oh, ow], out)
}

#[test]
fn pools_match_the_definition_over_random_geometries() {
    let random = &mut Random(8);
    let mut checked = 0;
    while checked < 600 {
        let mut pair = |low, high| [random.between(low, high), random.between(low, high)];
        let (kernel, stride, dilation) = (pair(1, 4), pair(1, 4), pair(1, 2));
        let ([top, left], [bottom, right], [h, w]) = (pair(0, 2), pair(0, 2), pair(2, 12));
        let window = Window { kernel, stride, dilation, pads: [top, left, bottom, right] };
        let span = |axis: usize| (kernel[axis] - 1) * dilation[axis] + 1;
        if span(0) > h + top + bottom || span(1) > w + left + right {
            continue;
        }
        let x = random.tensor(&[2, 3, h, w]);
        let ceil = checked % 2 == 0;
        let case = format!("{h}×{w}, {window:?}, ceil {ceil}");
        let expected = naive(&x, &window, ceil, |v, _| v.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        assert_close(&max_pool(&x, &window, ceil, &expected.shape).unwrap(), &expected, 0.0, &case);
        let sum = |values: &[f32]| values.iter().sum::<f32>();
        let expected = naive(&x, &window, ceil, |v, _| sum(v) / v.len().max(1) as f32);
        let actual = average_pool(&x, &window, ceil, false, &expected.shape).unwrap();
        assert_close(&actual, &expected, 1e-5, &case);
        let expected = naive(&x, &window, ceil, |v, padded| sum(v) / padded.max(1) as f32);
        let actual = average_pool(&x, &window, ceil, true, &expected.shape).unwrap();
        assert_close(&actual, &expected, 1e-5, &format!("{case}, pads counted"));
        checked += 1;
    }
}

#[test]
fn max_pool_keeps_integers() {
    let window = Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0; 4] };
    let x = Tensor { shape: vec![1, 1, 2, 2], data: Data::I8(vec![-7, -128, -3, -5]) };
    assert_eq!(max_pool(&x, &window, false, &[1, 1, 1, 1]).unwrap().data, Data::I8(vec![-3]));
    let x = Tensor { shape: vec![1, 1, 2, 2], data: Data::Bool(vec![true; 4]) };
    assert!(max_pool(&x, &window, false, &[1, 1, 1, 1]).is_err());
}

#[test]
fn a_window_larger_than_the_padded_input_is_refused() {
    let x = Random(9).tensor(&[1, 1, 4, 4]);
    let window = Window { kernel: [6, 2], stride: [1, 1], dilation: [1, 1], pads: [0, 0, 1, 0] };
    assert!(max_pool(&x, &window, false, &[1, 1, 1, 3]).is_err());
    assert!(average_pool(&x, &window, true, true, &[1, 1, 1, 3]).is_err());
}
