//! Written files come back as they were, and failures leave nothing behind.

use super::*;
use crate::frame::Source;
use crate::palette::class_colours;
use crate::read;

/// File names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn frames_come_back_from_png() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frame.png");
    let cases = [
        (1, Samples::U8((0..15).collect()), 8),
        (3, Samples::U8((0..45).collect()), 8),
        (1, Samples::U16((0..15).map(|value| value * 4369).collect()), 16),
    ];
    for (channels, samples, bits) in cases {
        let frame =
            Frame::new(5, 3, channels, samples, Source::new(path.display().to_string(), bits)).unwrap();
        frame_png(&path, &frame).unwrap();
        assert_eq!(read::open(&path).unwrap(), frame);
    }
    assert_eq!(names(folder.path()), ["frame.png"]);
}

#[test]
fn twelve_bits_are_stretched_to_both_ends_of_sixteen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frame.png");
    let frame = Frame::new(3, 1, 1, Samples::U16(vec![0, 0xabc, 0xfff]), Source::new("test", 12)).unwrap();
    frame_png(&path, &frame).unwrap();
    assert_eq!(read::open(&path).unwrap().samples(), &Samples::U16(vec![0, 0xabca, 0xffff]));
    let nine = Frame::new(2, 1, 1, Samples::U16(vec![0, 0x1ff]), Source::new("test", 9)).unwrap();
    frame_png(&path, &nine).unwrap();
    assert_eq!(read::open(&path).unwrap().samples(), &Samples::U16(vec![0, 0xffff]));
}

#[test]
fn masks_come_back_as_indices_and_show_their_colours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let labels = Labels::new(3, 2, vec![0, 1, 2, 2, 1, 0]).unwrap();
    let colours = class_colours(3);
    mask_png(&path, &labels, &colours).unwrap();
    assert_eq!(read::mask(&path).unwrap(), labels);
    let Samples::U8(pixels) = read::open(&path).unwrap().into_samples() else { panic!("8 bits expected") };
    assert_eq!(pixels[6..9], colours[2]);
    let error = mask_png(&path, &labels, &colours[..2]).unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::Mismatch);
    assert_eq!(read::mask(&path).unwrap(), labels, "the refused write left the file alone");
}

#[test]
fn confidence_keeps_all_bits_and_heat_keeps_the_leading_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confidence.png");
    confidence_png(&path, 2, 2, &[0, 1, 32_768, 65_535]).unwrap();
    assert_eq!(read::open(&path).unwrap().samples(), &Samples::U16(vec![0, 1, 32_768, 65_535]));
    heat_png(&path, 2, 2, &[0, 255, 32_768, 65_535]).unwrap();
    assert_eq!(read::mask(&path).unwrap().values(), &[0, 0, 128, 255]);
    assert_eq!(confidence_png(&path, 2, 2, &[0; 5]).unwrap_err().kind(), WriteErrorKind::Mismatch);
}

#[test]
fn arrays_come_back_and_begin_at_a_multiple_of_64() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    let values: Vec<f32> = (0..24u8).map(|value| f32::from(value) / 7.0).collect();
    for shape in [vec![24], vec![2, 12], vec![2, 3, 4], vec![1, 2, 3, 4]] {
        npy_f32(&path, &shape, &values).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len() % 64, 24 * 4 % 64);
        let array = read::npy::array(&path).unwrap();
        assert_eq!(array, read::npy::Array { shape, values: read::npy::Values::F32(values.clone()) });
    }
    npy_u8(&path, &[2, 2], &[1, 2, 3, 255]).unwrap();
    assert_eq!(read::mask(&path).unwrap().values(), &[1, 2, 3, 255]);
    assert_eq!(npy_u8(&path, &[2, 3], &[0; 5]).unwrap_err().kind(), WriteErrorKind::Mismatch);
}

/// The header as `numpy.save` of NumPy 2.4 writes it for a float32 array of shape (3, 5).
#[test]
fn the_array_header_is_the_one_numpy_writes() {
    let mut expected =
        b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }".to_vec();
    expected.resize(127, b' ');
    expected.push(b'\n');
    assert_eq!(npy_header("<f4", &[3, 5]), expected);
    assert!(String::from_utf8(npy_header("|u1", &[3]).split_off(10)).unwrap().contains("'shape': (3,), }"));
}

#[test]
fn a_failing_write_keeps_the_old_file_and_leaves_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("finding.png");
    file(&path, b"old").unwrap();
    for (kind, expected) in [
        (io::ErrorKind::StorageFull, WriteErrorKind::DiskFull),
        (io::ErrorKind::QuotaExceeded, WriteErrorKind::DiskFull),
        (io::ErrorKind::ReadOnlyFilesystem, WriteErrorKind::NotAllowed),
        (io::ErrorKind::BrokenPipe, WriteErrorKind::Io),
    ] {
        let error = replace(&path, |out| {
            out.write_all(b"new, but only in part")?;
            Err(kind.into())
        });
        assert_eq!(error.unwrap_err().kind(), expected);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["finding.png"]);
    }
}

#[test]
fn a_missing_folder_and_a_folder_in_the_way_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = file(&folder.path().join("none/file"), b"x").unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::NoFolder);
    assert!(error.to_string().contains("none/file") && error.to_string().contains("create"), "{error}");
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(file(&folder.path().join("taken"), b"x").is_err());
    assert_eq!(names(folder.path()), ["taken"]);
    assert_eq!(file(Path::new("/"), b"x").unwrap_err().kind(), WriteErrorKind::Mismatch);
}

/// The kernel's own full disk, where there is one.
#[test]
fn a_full_disk_is_reported_as_such() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        println!("SKIPPED no /dev/full on this system");
        return;
    };
    let frame = Frame::new(64, 64, 1, Samples::U8(vec![7; 4096]), Source::new("test", 8)).unwrap();
    let error = encode_frame(&mut &full, &frame).unwrap_err();
    assert_eq!(WriteError::io(Path::new("x"), &error).kind(), WriteErrorKind::DiskFull);
}
