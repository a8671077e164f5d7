//! PNG varieties against values worked out by hand from the standard.

use std::io::Cursor;

use png::Encoder;

use super::*;

/// A PNG of packed rows, as the encoder takes them.
fn encode(
    size: (u32, u32),
    color: ColorType,
    depth: BitDepth,
    rows: &[u8],
    extra: &[(&str, &[u8])],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    for (chunk, data) in extra {
        match *chunk {
            "PLTE" => encoder.set_palette(data.to_vec()),
            _ => encoder.set_trns(data.to_vec()),
        }
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(rows).unwrap();
    writer.finish().unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Frame, ReadError> {
    frame(&mut Cursor::new(bytes), "test.png", Limits::DEFAULT)
}

fn read_labels(bytes: &[u8]) -> Result<Labels, ReadError> {
    labels(&mut Cursor::new(bytes), "test.png", Limits::DEFAULT)
}

#[test]
fn shallow_gray_is_stretched_as_a_frame_and_raw_as_a_mask() {
    let cases = [
        (BitDepth::One, vec![0b1010_0000, 0b0100_0000], [255, 0, 255], [1, 0, 1]),
        (BitDepth::Two, vec![0b0110_1100, 0], [85, 170, 255], [1, 2, 3]),
        (BitDepth::Four, vec![0x1f, 0x80, 0, 0], [17, 255, 136], [1, 15, 8]),
    ];
    for (depth, rows, stretched, raw) in cases {
        let bytes = encode((3, 2), ColorType::Grayscale, depth, &rows, &[]);
        let frame = read(&bytes).unwrap();
        assert_eq!(frame.source().bit_depth, depth as u8);
        let Samples::U8(values) = frame.samples() else { panic!("8 bits expected") };
        assert_eq!(values[..3], stretched, "{depth:?}");
        assert_eq!(read_labels(&bytes).unwrap().values()[..3], raw, "{depth:?}");
    }
}

#[test]
fn sixteen_bits_are_big_endian() {
    let bytes = encode((2, 1), ColorType::Grayscale, BitDepth::Sixteen, &[0x01, 0x02, 0xff, 0xfe], &[]);
    let frame = read(&bytes).unwrap();
    assert_eq!(frame.samples(), &Samples::U16(vec![0x0102, 0xfffe]));
    assert_eq!((frame.max_value(), frame.source().bit_depth), (Some(65_535), 16));
    let error = read_labels(&bytes).unwrap_err();
    assert_eq!(error.place(), "row 0, column 0");
    let small = encode((2, 1), ColorType::Grayscale, BitDepth::Sixteen, &[0, 2, 0, 255], &[]);
    assert_eq!(read_labels(&small).unwrap().values(), &[2, 255]);
}

#[test]
fn palettes_become_rgb_or_gray_and_masks_keep_their_indices() {
    let coloured: &[u8] = &[10, 20, 30, 40, 40, 40, 7, 8, 9];
    let bytes = encode((3, 1), ColorType::Indexed, BitDepth::Two, &[0b0110_0000], &[("PLTE", coloured)]);
    let frame = read(&bytes).unwrap();
    assert_eq!((frame.channels(), frame.source().bit_depth), (3, 8));
    assert_eq!(frame.samples(), &Samples::U8(vec![40, 40, 40, 7, 8, 9, 10, 20, 30]));
    assert_eq!(read_labels(&bytes).unwrap().values(), &[1, 2, 0]);

    let gray: &[u8] = &[0, 0, 0, 200, 200, 200];
    let bytes = encode((2, 1), ColorType::Indexed, BitDepth::Eight, &[1, 0], &[("PLTE", gray)]);
    let frame = read(&bytes).unwrap();
    assert_eq!((frame.channels(), frame.samples()), (1, &Samples::U8(vec![200, 0])));
}

#[test]
fn an_index_beyond_the_palette_names_its_pixel() {
    let bytes = encode((2, 2), ColorType::Indexed, BitDepth::Eight, &[0, 0, 0, 1], &[("PLTE", &[1, 2, 3])]);
    let error = read(&bytes).unwrap_err();
    assert_eq!((error.kind(), error.place()), (ReadErrorKind::Damaged, "row 1, column 1"));
}

#[test]
fn opaque_alpha_is_dropped_and_partial_alpha_is_composited_and_noted() {
    let opaque = encode((1, 1), ColorType::Rgba, BitDepth::Eight, &[9, 8, 7, 255], &[]);
    let frame = read(&opaque).unwrap();
    assert_eq!((frame.samples(), frame.source().notes.len()), (&Samples::U8(vec![9, 8, 7]), 0));

    let partial = encode((2, 1), ColorType::GrayscaleAlpha, BitDepth::Eight, &[200, 128, 5, 255], &[]);
    let frame = read(&partial).unwrap();
    assert_eq!(frame.samples(), &Samples::U8(vec![100, 5]));
    assert_eq!(frame.source().notes, vec![Note::CompositedOnBlack]);

    let deep: Vec<u8> = [65_535u16, 40_000, 0, 32_768].iter().flat_map(|value| value.to_be_bytes()).collect();
    let frame = read(&encode((1, 1), ColorType::Rgba, BitDepth::Sixteen, &deep, &[])).unwrap();
    assert_eq!(frame.samples(), &Samples::U16(vec![32_768, 20_000, 0]));
}

#[test]
fn transparency_chunks_count_as_alpha() {
    let key = encode((2, 1), ColorType::Grayscale, BitDepth::Eight, &[50, 51], &[("tRNS", &[0, 50])]);
    let frame = read(&key).unwrap();
    assert_eq!((frame.samples(), frame.source().notes.len()), (&Samples::U8(vec![0, 51]), 1));
    let palette: &[(&str, &[u8])] = &[("PLTE", &[100, 0, 0, 0, 100, 0]), ("tRNS", &[0])];
    let frame = read(&encode((2, 1), ColorType::Indexed, BitDepth::Eight, &[0, 1], palette)).unwrap();
    assert_eq!(frame.samples(), &Samples::U8(vec![0, 0, 0, 0, 100, 0]));
    assert_eq!(frame.source().notes, vec![Note::CompositedOnBlack]);
}

#[test]
fn a_coloured_picture_is_no_mask() {
    let equal = encode((1, 1), ColorType::Rgb, BitDepth::Eight, &[255, 255, 255], &[]);
    assert_eq!(read_labels(&equal).unwrap().values(), &[255]);
    let coloured = encode((1, 1), ColorType::Rgb, BitDepth::Eight, &[255, 0, 255], &[]);
    assert_eq!(read_labels(&coloured).unwrap_err().kind(), ReadErrorKind::Unsupported);
}

/// A header without image data.
fn header_only(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    drop(encoder.write_header().unwrap());
    bytes
}

#[test]
fn declared_sizes_are_checked_before_any_row_is_read() {
    let error = read(&header_only(20_000, 4)).unwrap_err();
    assert_eq!(error.kind(), ReadErrorKind::TooLarge);
    assert!(error.to_string().contains("20000x4") && error.to_string().contains("16384"), "{error}");
    assert_eq!(read(&header_only(16_384, 16_384)).unwrap_err().kind(), ReadErrorKind::TooLarge);
    assert_eq!(read(&header_only(4, 4)).unwrap_err().kind(), ReadErrorKind::Damaged);
}
