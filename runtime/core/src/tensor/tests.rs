//! The layout: every value has a place of its own, halos hold the zero point, and gaps between rows stay
//! untouched.

use super::*;
use std::collections::HashSet;

const HALO: Halo = Halo { top: 1, left: 2, bottom: 0, right: 3 };

#[test]
fn extents_and_strides_count_halo_and_whole_blocks() {
    let layout = Layout::packed(5, 7, 6, HALO, Element::Code);
    assert_eq!((layout.blocks(), layout.stored_width(), layout.stored_rows()), (2, 12, 6));
    assert_eq!((layout.block_stride(), layout.row_bytes(), layout.bytes()), (48, 96, 6 * 96));
    let gapped = Layout { row_stride: 128, ..layout };
    assert_eq!(gapped.bytes(), 5 * 128 + 96);
    let wide = Layout::packed(5, 7, 6, HALO, Element::Accumulator);
    assert_eq!(wide.row_bytes(), 4 * 96);
}

#[test]
fn every_code_has_its_own_byte_and_reads_back() {
    let layout = Layout { row_stride: 128, ..Layout::packed(5, 7, 6, HALO, Element::Code) };
    let mut places = HashSet::new();
    for (y, x, c) in (0..5).flat_map(|y| (0..7).flat_map(move |x| (0..6).map(move |c| (y, x, c)))) {
        let mut data = vec![0; layout.bytes()];
        RowsMut::whole(layout, &mut data).set_code(y, x, c, 9);
        let place = data.iter().position(|&b| b == 9).unwrap();
        assert!(places.insert(place), "({y},{x},{c}) shares its byte");
        let rows = Rows::whole(layout, &data);
        assert_eq!(rows.code(y, x, c), 9);
        assert_eq!(rows.stored(y + 1, x + 2, c), 9);
        assert_eq!(rows.row(y)[layout.offset_in_row(c / BLOCK, x) + c % BLOCK], 9);
    }
    assert_eq!(places.len(), 5 * 7 * 6);
}

#[test]
fn accumulators_keep_all_32_bits() {
    let layout = Layout::packed(2, 3, 5, HALO, Element::Accumulator);
    let mut data = vec![0; layout.bytes()];
    let mut rows = RowsMut::whole(layout, &mut data);
    let value = |y: usize, x: usize, c: usize| i32::MIN + ((y * 3 + x) * 5 + c) as i32 * 0x0101_0101;
    for (y, x, c) in (0..2).flat_map(|y| (0..3).flat_map(move |x| (0..5).map(move |c| (y, x, c)))) {
        rows.set_accumulator(y, x, c, value(y, x, c));
    }
    let rows = Rows::whole(layout, &data);
    for (y, x, c) in (0..2).flat_map(|y| (0..3).flat_map(move |x| (0..5).map(move |c| (y, x, c)))) {
        assert_eq!(rows.value(y, x, c), value(y, x, c));
    }
}

#[test]
fn split_rows_write_the_same_places_as_the_whole() {
    let layout = Layout { row_stride: 132, ..Layout::packed(5, 7, 6, HALO, Element::Code) };
    let fill = |mut rows: RowsMut<'_>| {
        for y in rows.first..rows.first + rows.count {
            for x in 0..7 {
                rows.set_code(y, x, 5, (y * 7 + x) as u8 + 1);
            }
            rows.row_mut(y)[0] = 200 + y as u8;
        }
    };
    let (mut whole, mut parts) = (vec![0; layout.bytes()], vec![0; layout.bytes()]);
    fill(RowsMut::whole(layout, &mut whole));
    let (upper, rest) = RowsMut::whole(layout, &mut parts).split_at(2);
    let (middle, lower) = rest.split_at(1);
    assert_eq!((upper.count, middle.first, middle.count, lower.first, lower.count), (2, 2, 1, 3, 2));
    [lower, upper, middle].into_iter().for_each(fill);
    assert_eq!(whole, parts);
}

#[test]
fn the_halo_and_nothing_else_becomes_the_zero_point() {
    let layout = Layout { row_stride: 128, ..Layout::packed(5, 7, 6, HALO, Element::Code) };
    let mut data = vec![1; layout.bytes()];
    fill_halo(layout, &mut data, 77);
    for (at, &byte) in data.iter().enumerate() {
        let (row, within) = (at / 128, at % 128);
        let column = within % 48 / 4;
        let image = (1..6).contains(&row) && (2..9).contains(&column);
        let expected = if within >= 96 || image { 1 } else { 77 };
        assert_eq!(byte, expected, "row {row}, column {column}");
    }
    let mut none = vec![1; layout.bytes()];
    fill_halo(Layout { element: Element::Accumulator, ..layout }, &mut none, 77);
    assert!(none.iter().all(|&b| b == 1));
}
