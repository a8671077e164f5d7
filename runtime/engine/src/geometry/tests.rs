//! Geometry: spans cover every position once, mirroring stays inside, resizing keeps what it must.

use super::*;

/// SplitMix64 (Steele, Lea & Flood 2014), a number in `low..=high`.
fn between(state: &mut u64, low: usize, high: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    low + ((z ^ (z >> 31)) % (high - low + 1) as u64) as usize
}

#[test]
fn tiles_cover_every_position_once_and_see_it() {
    let mut state = 1;
    for _ in 0..20_000 {
        let (model, extent) = (between(&mut state, 1, 200), between(&mut state, 1, 1200));
        let overlap = between(&mut state, 0, 120) * 2;
        let spans = spans(Geometry::Tile { overlap }, extent, model);
        let case = format!("{extent} positions, model {model}, overlap {overlap}: {spans:?}");
        let mut next = 0;
        for span in &spans {
            assert_eq!(span.from, next, "{case}");
            assert!(span.to > span.from, "{case}");
            assert!(
                span.from >= span.origin && span.to <= (span.origin + model).max(extent.min(model)),
                "{case}"
            );
            assert!(span.origin + model <= extent.max(model), "{case}");
            next = span.to;
        }
        assert_eq!(next, extent, "{case}");
        // A result is taken half the overlap away from the edge of what the model saw, but at the frame's
        // own edge.
        let margin = overlap.min(model - 1) / 2;
        for pair in spans.windows(2) {
            assert!(pair[1].from >= pair[1].origin + margin, "{case}");
            assert!(pair[0].to + margin <= pair[0].origin + model, "{case}");
        }
    }
}

#[test]
fn resized_and_small_frames_have_one_span() {
    let whole = |extent| vec![Span { origin: 0, from: 0, to: extent }];
    assert_eq!(spans(Geometry::Resize, 1000, 64), whole(1000));
    assert_eq!(spans(Geometry::Tile { overlap: 16 }, 64, 64), whole(64));
    assert_eq!(spans(Geometry::Tile { overlap: 16 }, 5, 64), whole(5));
    assert_eq!(spans(Geometry::Tile { overlap: 16 }, 65, 64).len(), 2);
}

#[test]
fn mirroring_repeats_no_edge() {
    let seen: Vec<usize> = (0..12).map(|position| mirror(position, 4)).collect();
    assert_eq!(seen, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]);
    assert!((0..9).all(|position| mirror(position, 1) == 0));
    assert_eq!([0, 1, 2, 3, 4].map(|position| mirror(position, 2)), [0, 1, 0, 1, 0]);
}

#[test]
fn the_way_back_takes_the_pixel_that_covers_the_centre() {
    let mut state = 2;
    for _ in 0..5000 {
        let (extent, model) = (between(&mut state, 1, 700), between(&mut state, 1, 700));
        let at = between(&mut state, 0, extent - 1);
        let centre = (at as f64 + 0.5) * model as f64 / extent as f64;
        assert_eq!(nearest(at, extent, model), centre.floor() as usize, "{at} of {extent} in {model}");
    }
    assert!((0..100).all(|at| nearest(at, 100, 100) == at));
    for (extent, model) in [(1, 1), (1, 9), (9, 1), (512, 512), (1024, 512), (700, 333), (100, 257)] {
        for first in [0, extent / 3, extent - 1] {
            for (at, found) in (first..extent).zip(nearest_from(first, extent, model)) {
                assert_eq!(found, nearest(at, extent, model), "{at} of {extent} in {model}");
            }
        }
    }
}

#[test]
fn resizing_to_the_same_extent_changes_nothing_and_keeps_constants() {
    let plane: Vec<u16> = (0..12).map(|i| i * 5000).collect();
    let mut target = vec![0; 12];
    Resampler::new(4, 4).columns(&plane, &mut target);
    assert_eq!(target, plane);
    Resampler::new(3, 3).rows(&plane, 4, &mut target);
    assert_eq!(target, plane);
    for (input, output) in [(1, 9), (9, 1), (7, 5), (5, 7), (1000, 3), (3, 1000)] {
        for value in [0, 1, 255, 4095, u16::MAX] {
            let mut target = vec![1; output];
            Resampler::new(input, output).columns(&vec![value; input], &mut target);
            assert!(target.iter().all(|&v| v == value), "{value} from {input} to {output}: {target:?}");
        }
    }
}

#[test]
fn resizing_mirrors_with_the_image_and_keeps_order() {
    let plane: Vec<u16> = (0..37).map(|i| i * i * 40).collect();
    for output in [5, 36, 37, 80] {
        let resampler = Resampler::new(37, output);
        let mut forward = vec![0; output];
        resampler.columns(&plane, &mut forward);
        assert!(forward.is_sorted(), "{output}");
        let (mut down, mut tall) = (vec![0; output], vec![0; output]);
        resampler.rows(&plane, 1, &mut tall);
        assert_eq!(tall, forward, "rows and columns to {output}");
        let turned: Vec<u16> = plane.iter().rev().copied().collect();
        resampler.columns(&turned, &mut down);
        down.reverse();
        assert!(down.iter().zip(&forward).all(|(a, b)| a.abs_diff(*b) <= 1), "{output}");
    }
}

#[test]
fn rows_are_resized_as_columns_of_the_transposed_plane() {
    let mut state = 3;
    // Wider than what is summed at once, and not a multiple of it.
    for (input, output, width) in [(5, 9, 1), (40, 7, 64), (33, 33, 65), (3, 100, 130), (257, 64, 150)] {
        let plane: Vec<u16> = (0..input * width).map(|_| between(&mut state, 0, 65_535) as u16).collect();
        let transposed: Vec<u16> =
            (0..input * width).map(|at| plane[at % input * width + at / input]).collect();
        let resampler = Resampler::new(input, output);
        let (mut rows, mut columns) = (vec![0; output * width], vec![0; output * width]);
        resampler.rows(&plane, width, &mut rows);
        resampler.columns(&transposed, &mut columns);
        let back: Vec<u16> =
            (0..output * width).map(|at| columns[at % width * output + at / width]).collect();
        assert_eq!(rows, back, "{input} to {output} rows of {width} columns");
    }
}
