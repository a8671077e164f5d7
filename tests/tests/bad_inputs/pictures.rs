//! Writes picture and array files, sound or not, from samples.

use std::io::Cursor;

use png::{BitDepth, ColorType, Encoder};
use tiff::encoder::{TiffEncoder, colortype};

/// A PNG of `width × height` from packed sample bytes, 16-bit ones big-endian.
pub fn png(width: usize, height: usize, color: ColorType, depth: BitDepth, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(vec![0, 0, 0, 200, 40, 40, 40, 200, 40, 255, 255, 255]);
    }
    let mut writer = encoder.write_header().expect("the header is sound");
    writer.write_image_data(samples).expect("the samples fit");
    writer.finish().expect("the picture is whole");
    bytes
}

/// An 8-bit gray PNG.
pub fn gray(width: usize, height: usize, samples: &[u8]) -> Vec<u8> {
    png(width, height, ColorType::Grayscale, BitDepth::Eight, samples)
}

/// A frame with one bright square on a ramp and its mask of 0 and 1; `index` moves the square.
pub fn scene(side: usize, index: usize) -> (Vec<u8>, Vec<u8>) {
    let (top, left) = (2 + index * 5 % 17, 3 + index * 7 % 19);
    let inside = |at: usize| (top..top + 9).contains(&(at / side)) && (left..left + 7).contains(&(at % side));
    let noise = |at: usize| ((at * 2_654_435_761 + index * 40_503) >> 7) % 23;
    let samples: Vec<u8> = (0..side * side)
        .map(|at| (40 + at % side + noise(at) + if inside(at) { 110 } else { 0 }) as u8)
        .collect();
    let mask: Vec<u8> = (0..side * side).map(|at| u8::from(inside(at))).collect();
    (gray(side, side, &samples), gray(side, side, &mask))
}

/// A TIFF whose samples are all zero.
pub fn tiff<C: colortype::ColorType<Inner: Clone + Default>>(
    width: u32,
    height: u32,
    channels: usize,
) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut file = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut file).expect("a TIFF begins");
    let samples = vec![C::Inner::default(); width as usize * height as usize * channels];
    encoder.write_image::<C>(width, height, &samples).expect("the samples fit");
    file.into_inner()
}

/// A `.npy` file of format version 1.0 with this header text.
pub fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.resize(10 + padded - 1, b' ');
    bytes.push(b'\n');
    bytes.extend(data);
    bytes
}

/// A float `.npy` file of that shape, such as `(1, 32, 32)`.
pub fn npy_floats(shape: &str, values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy(&header, &data)
}
