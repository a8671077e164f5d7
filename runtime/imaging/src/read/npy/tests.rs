//! `.npy` files: headers as NumPy writes them, exact conversion, and every refusal.

use std::io::Cursor;

use super::*;

/// A version 1.0 file; the header is padded as NumPy pads it.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut text = header.to_string();
    while !(10 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
}

fn read(bytes: &[u8]) -> Result<Frame, ReadError> {
    frame(&mut Cursor::new(bytes), "test.npy", Limits::DEFAULT)
}

#[test]
fn a_tensor_is_kept_as_it_is() {
    let data: Vec<u8> = (0..12u8).flat_map(|value| (f32::from(value) - 3.5).to_le_bytes()).collect();
    let frame = read(&npy(&header("<f4", "(2, 2, 3)"), &data)).unwrap();
    assert_eq!((frame.channels(), frame.height(), frame.width()), (2, 2, 3));
    assert_eq!(frame.samples(), &Samples::F32((0..12u8).map(|value| f32::from(value) - 3.5).collect()));
    assert!(frame.source().notes.is_empty());
}

#[test]
fn version_2_and_other_spellings_of_the_header_are_read() {
    let text = "{ 'shape':(1,2) ,'fortran_order':False,'descr':'|u1'}";
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend([7, 250]);
    assert_eq!(read(&bytes).unwrap().samples(), &Samples::F32(vec![7.0, 250.0]));
}

#[test]
fn every_integer_type_converts_exactly() {
    let two = |low: &[u8], high: &[u8]| [low, high].concat();
    let cases = [
        ("|u1", two(&[0], &[255]), [0.0, 255.0]),
        ("<u2", two(&1u16.to_le_bytes(), &u16::MAX.to_le_bytes()), [1.0, 65_535.0]),
        ("<i2", two(&i16::MIN.to_le_bytes(), &i16::MAX.to_le_bytes()), [-32_768.0, 32_767.0]),
        ("<i4", two(&i32::MIN.to_le_bytes(), &(1i32 << 24).to_le_bytes()), [-2_147_483_648.0, 16_777_216.0]),
        ("<i8", two(&(-5i64).to_le_bytes(), &(1i64 << 40).to_le_bytes()), [-5.0, 1_099_511_627_776.0]),
    ];
    for (descr, data, expected) in cases {
        let frame = read(&npy(&header(descr, "(1, 2)"), &data)).unwrap();
        assert_eq!(frame.samples(), &Samples::F32(expected.to_vec()), "{descr}");
    }
    for value in [(1 << 24) + 1, i64::MAX] {
        let error = read(&npy(&header("<i8", "(1, 1)"), &value.to_le_bytes())).unwrap_err();
        assert_eq!(error.place(), "data, element 0", "{error}");
    }
}

#[test]
fn doubles_are_rounded_and_noted_and_overflow_is_refused() {
    let frame = read(&npy(&header("<f8", "(1, 1)"), &0.1f64.to_le_bytes())).unwrap();
    assert_eq!(frame.samples(), &Samples::F32(vec![0.1f32]));
    assert_eq!(frame.source().notes, vec![Note::RoundedToF32]);
    let error = read(&npy(&header("<f8", "(1, 1)"), &1e300f64.to_le_bytes())).unwrap_err();
    assert_eq!(error.kind(), ReadErrorKind::NonFinite);
}

#[test]
fn nan_and_infinity_name_their_place() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = [0f32; 12];
        values[7] = bad;
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let error = read(&npy(&header("<f4", "(2, 2, 3)"), &data)).unwrap_err();
        assert_eq!(error.kind(), ReadErrorKind::NonFinite);
        assert!(error.place().contains("element 7 (at [1, 0, 1])"), "{error}");
    }
}

#[test]
fn refusals_say_what_would_fix_them() {
    let fortran = header("<f4", "(1, 1)").replace("False", "True");
    let cases = [
        (npy(&fortran, &[0; 4]), ReadErrorKind::Unsupported, "ascontiguousarray"),
        (npy(&header(">f4", "(1, 1)"), &[0; 4]), ReadErrorKind::Unsupported, "astype"),
        (npy(&header("<c8", "(1, 1)"), &[0; 8]), ReadErrorKind::Unsupported, "astype"),
        (npy(&header("<f4", "(4,)"), &[0; 16]), ReadErrorKind::Unsupported, "one image"),
        (npy(&header("<f4", "(1, 1, 1, 1)"), &[0; 4]), ReadErrorKind::Unsupported, "array[0]"),
        (npy(&header("<f4", "(0, 1)"), &[]), ReadErrorKind::Empty, "values"),
        (npy(&header("<f4", "(1, 1)"), &[0; 3]), ReadErrorKind::Length, "again"),
        (npy(&header("<f4", "(1, 1)"), &[0; 5]), ReadErrorKind::Length, "again"),
        (npy(&header("<f4", "(20000, 1)"), &[0; 80_000]), ReadErrorKind::TooLarge, "crop"),
        (npy(&header("<f4", "(4294967295, 4294967295)"), &[]), ReadErrorKind::TooLarge, "crop"),
        (
            npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", &[0; 4]),
            ReadErrorKind::Unsupported,
            "named fields",
        ),
        (npy("{'descr': '<f4', 'shape': (1, 1), }", &[0; 4]), ReadErrorKind::Damaged, "again"),
        (npy(&header("<f4", "(-1, 1)"), &[]), ReadErrorKind::Damaged, "again"),
        (npy(&header("<f4", "(1, 1, 1, 1, 1)"), &[]), ReadErrorKind::Damaged, "again"),
    ];
    for (bytes, kind, fix) in cases {
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.fix().contains(fix), "{error}");
    }
}

#[test]
fn a_long_header_is_refused_before_it_is_read() {
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend(u32::MAX.to_le_bytes());
    assert_eq!(read(&bytes).unwrap_err().kind(), ReadErrorKind::TooLarge);
}

#[test]
fn masks_are_whole_numbers_from_0_to_255() {
    let read = |bytes: Vec<u8>| labels(&mut Cursor::new(bytes), "mask.npy", Limits::DEFAULT);
    assert_eq!(read(npy(&header("|u1", "(1, 3)"), &[0, 2, 255])).unwrap().values(), &[0, 2, 255]);
    let wide: Vec<u8> = [1i64, 255].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(read(npy(&header("<i8", "(2, 1)"), &wide)).unwrap().values(), &[1, 255]);
    for bad in [-1i16, 256] {
        let error = read(npy(&header("<i2", "(1, 1)"), &bad.to_le_bytes())).unwrap_err();
        assert_eq!(error.place(), "row 0, column 0");
    }
    assert_eq!(read(npy(&header("<f4", "(1, 1)"), &[0; 4])).unwrap_err().kind(), ReadErrorKind::Unsupported);
}

#[test]
fn a_series_of_doubles_is_read_as_an_array() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.npy");
    let data: Vec<u8> = [0.25f64, -3.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(&path, npy(&header("<f8", "(2,)"), &data)).unwrap();
    let expected = Array { shape: vec![2], values: Values::F64(vec![0.25, -3.0]) };
    assert_eq!(array(&path).unwrap(), expected);
}
