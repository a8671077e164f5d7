//! Row and column gather and linear resize, on whole pixels of four codes.

use crate::image::image;
use crate::loops::elementwise::image_mut;
use candor_core::arithmetic::requantize;
use candor_core::ops::remap::OUTSIDE;
use candor_core::ops::{Remap, ResizeLinear, remap, resize_linear};
use candor_core::tensor::{BLOCK, Element, Rows, RowsMut};

/// Pixels blended by one inner loop of constant length.
const PIXELS: usize = 16;

/// Row and column gather; an output row that repeats the one above is copied from it.
#[inline(always)]
pub(crate) fn remap(op: &Remap<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    if from.blocks() != to.blocks() || to.element != Element::Code || from.element != Element::Code {
        return remap::reference(op, input, output);
    }
    let doubled = op.columns.iter().enumerate().all(|(x, &column)| usize::from(column) == x / 2);
    for y in output.first..output.first + output.count {
        let source = op.rows[y];
        if y > output.first && source == op.rows[y - 1] {
            copy_from_above(&mut output, y);
            continue;
        }
        let row = output.row_mut(y);
        if source == OUTSIDE {
            (0..to.blocks()).for_each(|block| image_mut(&to, row, block).fill(op.fill));
            continue;
        }
        let source = input.row(usize::from(source));
        for block in 0..to.blocks() {
            let pixels = image(&from, source, block).as_chunks::<BLOCK>().0;
            let target = image_mut(&to, row, block).as_chunks_mut::<BLOCK>().0;
            if doubled {
                double(pixels, target);
                continue;
            }
            for (target, &column) in target.iter_mut().zip(op.columns) {
                *target = if column == OUTSIDE { [op.fill; BLOCK] } else { pixels[usize::from(column)] };
            }
        }
    }
}

/// Writes every pixel twice, the last once where the width is odd.
#[inline(always)]
fn double(pixels: &[[u8; BLOCK]], target: &mut [[u8; BLOCK]]) {
    let (pairs, last) = target.as_chunks_mut::<2>();
    for (pair, pixel) in pairs.iter_mut().zip(pixels) {
        *pair = [*pixel; 2];
    }
    if let ([last], Some(pixel)) = (last, pixels.get(pairs.len())) {
        *last = *pixel;
    }
}

/// Copies the image columns of row `y − 1` to row `y`; both are covered.
#[inline(always)]
fn copy_from_above(output: &mut RowsMut<'_>, y: usize) {
    let layout = output.layout;
    let (above, below) = output.data.split_at_mut((y - output.first) * layout.row_stride);
    let above = &above[above.len() - layout.row_stride..];
    for block in 0..layout.blocks() {
        image_mut(&layout, below, block).copy_from_slice(image(&layout, above, block));
    }
}

/// Linear resize: four neighbours of sixteen pixels are gathered, then blended by loops of constant length.
#[inline(always)]
pub(crate) fn resize_linear(op: &ResizeLinear<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    if from.blocks() != to.blocks() || to.element != Element::Code || from.element != Element::Code {
        return resize_linear::reference(op, input, output);
    }
    let [dy, dx] = op.denominators;
    let centre = op.zero_point * dy * dx;
    for y in output.first..output.first + output.count {
        let vertical = op.rows[y];
        let wy = vertical.weight as i32;
        let rows = [vertical.low, vertical.high].map(|row| input.row(usize::from(row)));
        for block in 0..to.blocks() {
            let [upper, lower] = rows.map(|row| image(&from, row, block).as_chunks::<BLOCK>().0);
            let target = image_mut(&to, output.row_mut(y), block);
            for (target, columns) in target.chunks_mut(PIXELS * BLOCK).zip(op.columns.chunks(PIXELS)) {
                let mut codes = [[[0u8; BLOCK]; PIXELS]; 4];
                let mut weights = [[0i32; BLOCK]; PIXELS];
                for (pixel, column) in columns.iter().enumerate() {
                    let (left, right) = (usize::from(column.low), usize::from(column.high));
                    codes[0][pixel] = upper[left];
                    codes[1][pixel] = upper[right];
                    codes[2][pixel] = lower[left];
                    codes[3][pixel] = lower[right];
                    weights[pixel] = [column.weight as i32; BLOCK];
                }
                let [a, b, c, d] = codes;
                let corners = [a.as_flattened(), b.as_flattened(), c.as_flattened(), d.as_flattened()];
                let weights = weights.as_flattened();
                for (index, code) in target.iter_mut().enumerate() {
                    let [a, b, c, d] = corners.map(|corner| i32::from(corner[index]));
                    let wx = weights[index];
                    let above = a * (dx - wx) + b * wx;
                    let below = c * (dx - wx) + d * wx;
                    let sum = above * (dy - wy) + below * wy - centre;
                    *code = requantize(sum, op.multiplier, op.range) as u8;
                }
            }
        }
    }
}
