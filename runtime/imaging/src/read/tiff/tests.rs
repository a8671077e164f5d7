//! TIFF: round trips through the encoder of the same crate, and what is refused.

use std::io::Cursor;

use tiff::encoder::colortype::{CMYK8, Gray8, Gray16, Gray32, Gray32Float, GrayI16, RGB8, RGB16, RGBA8};
use tiff::encoder::{Compression, Predictor, TiffEncoder, colortype};

use super::*;

fn encode<C: colortype::ColorType>(width: u32, height: u32, data: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    TiffEncoder::new(&mut bytes).unwrap().write_image::<C>(width, height, data).unwrap();
    bytes.into_inner()
}

fn read(bytes: &[u8]) -> Result<Frame, ReadError> {
    frame(&mut Cursor::new(bytes), "test.tif", Limits::DEFAULT)
}

#[test]
fn integer_gray_and_rgb_come_back() {
    assert_eq!(read(&encode::<Gray8>(3, 1, &[1, 2, 3])).unwrap().samples(), &Samples::U8(vec![1, 2, 3]));
    let frame = read(&encode::<Gray16>(1, 3, &[1, 500, 65_535])).unwrap();
    assert_eq!((frame.width(), frame.height(), frame.max_value()), (1, 3, Some(65_535)));
    assert_eq!(frame.samples(), &Samples::U16(vec![1, 500, 65_535]));
    let frame = read(&encode::<RGB8>(1, 2, &[1, 2, 3, 4, 5, 6])).unwrap();
    assert_eq!((frame.channels(), frame.samples()), (3, &Samples::U8(vec![1, 2, 3, 4, 5, 6])));
    let frame = read(&encode::<RGB16>(1, 1, &[1, 2, 60_000])).unwrap();
    assert_eq!(frame.samples(), &Samples::U16(vec![1, 2, 60_000]));
}

#[test]
fn every_compression_with_and_without_a_predictor_gives_the_same_pixels() {
    let pixels: Vec<u16> = (0..31 * 17).map(|value: u32| (value * 2_654_435 % 65_521) as u16).collect();
    for compression in [Compression::Uncompressed, Compression::Lzw, Compression::Deflate(Default::default())]
    {
        for predictor in [Predictor::None, Predictor::Horizontal] {
            let mut bytes = Cursor::new(Vec::new());
            let encoder = TiffEncoder::new(&mut bytes).unwrap();
            let mut encoder = encoder.with_compression(compression).with_predictor(predictor);
            encoder.write_image::<Gray16>(31, 17, &pixels).unwrap();
            let result = read(&bytes.into_inner());
            if compression == Compression::Uncompressed && predictor == Predictor::Horizontal {
                // Pillow ignores this predictor, the decoder applies it: neither is to be guessed.
                assert_eq!(result.unwrap_err().place(), "Predictor");
            } else {
                assert_eq!(result.unwrap().samples(), &Samples::U16(pixels.clone()));
            }
        }
    }
}

#[test]
fn floats_are_read_and_a_nan_names_its_index() {
    let frame = read(&encode::<Gray32Float>(2, 1, &[-1.5, 1e30])).unwrap();
    assert_eq!(frame.samples(), &Samples::F32(vec![-1.5, 1e30]));
    let error = read(&encode::<Gray32Float>(2, 1, &[0.0, f32::NAN])).unwrap_err();
    assert_eq!(error.kind(), ReadErrorKind::NonFinite);
    assert!(error.to_string().contains("sample 1"), "{error}");
}

#[test]
fn what_is_not_read_is_named() {
    let cases = [
        (encode::<CMYK8>(1, 1, &[0; 4]), "CMYK"),
        (encode::<RGBA8>(1, 1, &[0; 4]), "alpha"),
        (encode::<Gray32>(1, 1, &[0]), "unsigned 32-bit"),
        (encode::<GrayI16>(1, 1, &[0]), "signed 16-bit"),
    ];
    for (bytes, word) in cases {
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.kind(), ReadErrorKind::Unsupported);
        assert!(error.problem().contains(word), "{error}");
    }
}

#[test]
fn a_rotated_orientation_is_refused() {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let mut image = encoder.new_image::<Gray8>(2, 1).unwrap();
    image.encoder().write_tag(Tag::Orientation, 6u16).unwrap();
    image.write_data(&[1, 2]).unwrap();
    let error = read(&bytes.into_inner()).unwrap_err();
    assert_eq!((error.kind(), error.place()), (ReadErrorKind::Unsupported, "Orientation"));
}

#[test]
fn only_the_first_page_is_read_and_that_is_noted() {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    encoder.write_image::<Gray8>(1, 1, &[11]).unwrap();
    encoder.write_image::<Gray8>(1, 1, &[22]).unwrap();
    let frame = read(&bytes.into_inner()).unwrap();
    assert_eq!(frame.samples(), &Samples::U8(vec![11]));
    assert_eq!(frame.source().notes, vec![Note::FirstImageOnly]);
}

#[test]
fn declared_sizes_are_checked_before_decoding() {
    let mut bytes = encode::<Gray8>(300, 1, &[0; 300]);
    // ImageWidth (tag 256, LONG, one value) is rewritten where it lies in the directory.
    let entry = bytes.windows(8).position(|window| window == [0, 1, 4, 0, 1, 0, 0, 0]).unwrap();
    bytes[entry + 8..entry + 12].copy_from_slice(&20_000u32.to_le_bytes());
    let error = read(&bytes).unwrap_err();
    assert_eq!(error.kind(), ReadErrorKind::TooLarge);
    assert!(error.to_string().contains("20000x1"), "{error}");
}
