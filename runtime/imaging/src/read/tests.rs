//! Reading whole files: real images against Pillow, folders, and bytes that lie.

use std::fs;
use std::io::Cursor;

use super::*;
use crate::testing::{data, sha256};

/// SHA-256 of all arrays of a folder, concatenated in file-name order: the frames or masks as decoded by
/// Pillow 13.0 (alpha dropped), and their luma by NumPy in integers.
struct Folder {
    path: &'static str,
    files: usize,
    arrays: &'static str,
    luma: &'static str,
}

const FRAMES: [Folder; 3] = [
    Folder {
        path: "nuclei/images",
        files: 90,
        arrays: "066be7a7e054fa9ff75c1332a7fb7059e2510a2339b93d69930294a73d5f2123",
        luma: "1a557928e524283d448ff418aa40d51633a6854119381a1a5c78012fe01d85f8",
    },
    Folder {
        path: "ultrasound/images",
        files: 204,
        arrays: "52979493074c2421ee6dd4bea7f26882e347e9a63555f68b9a47532913682cbe",
        luma: "45df2d149b8f29c9eb889528740ccb4b7565c488590ebe6b3ca224b76b3031b8",
    },
    Folder {
        path: "cardiac-mr/images",
        files: 80,
        arrays: "db33883f15821f0f1ef66084e013674464540d8ab45447769c9c15a71cc83a15",
        luma: "6f53526264fe1ba47cafaf75f22d4bd4227a129c2df903a09f7a3a636c4bbf49",
    },
];

const MASKS: [(&str, usize, &[u8], &str); 3] = [
    ("nuclei/masks", 90, &[0, 255], "a1d7097bd7b7b55da11424dca1811b1beca418496ce551687709a48a105034aa"),
    ("ultrasound/masks", 204, &[0, 1, 2], "f3bc7564a0b901a4bfa76f1c90246bd50a79b8f75979586b6a8697344a2f2fdd"),
    ("cardiac-mr/masks", 80, &[0, 255], "7a4f23c8629be9b8088663a4b24e13db0a4c58594c6ab39450a42af715705bf0"),
];

fn bytes_of(frame: &Frame) -> &[u8] {
    match frame.samples() {
        Samples::U8(values) => values,
        other => panic!("8-bit samples expected, found {} others", other.len()),
    }
}

#[test]
fn every_real_frame_decodes_as_pillow_does() {
    for folder in FRAMES {
        let Some(path) = data(folder.path) else { return };
        let files = list(&[path]);
        assert_eq!(files.len(), folder.files, "{}", folder.path);
        let (mut arrays, mut luma) = (Vec::new(), Vec::new());
        for file in files {
            let frame = open(&file.unwrap()).unwrap();
            assert!(frame.source().notes.is_empty(), "{}", frame.source().name);
            arrays.extend_from_slice(bytes_of(&frame));
            luma.extend_from_slice(bytes_of(&frame.to_gray().unwrap()));
        }
        assert_eq!(sha256(&arrays), folder.arrays, "{}", folder.path);
        assert_eq!(sha256(&luma), folder.luma, "{} as gray", folder.path);
    }
}

#[test]
fn every_real_mask_decodes_as_pillow_does() {
    for (folder, files, values, digest) in MASKS {
        let Some(path) = data(folder) else { return };
        let found = list(&[path]);
        assert_eq!(found.len(), files, "{folder}");
        let mut all = Vec::new();
        for file in found {
            let labels = mask(&file.unwrap()).unwrap();
            assert!(labels.distinct().iter().all(|value| values.contains(value)), "{folder}");
            all.extend_from_slice(labels.values());
        }
        assert_eq!(sha256(&all), digest, "{folder}");
    }
}

#[test]
fn folders_expand_sorted_and_without_strangers() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.PNG", "a.tiff", "c.npy", "notes.txt", ".hidden.png", "no_extension"] {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    fs::create_dir(folder.path().join("inner.png")).unwrap();
    let missing = folder.path().join("missing.png");
    let listed = list(&[folder.path().into(), missing.clone(), folder.path().join("notes.txt")]);
    let names: Vec<_> = listed
        .iter()
        .map(|item| item.as_ref().map(|path| path.file_name().unwrap().to_str().unwrap()))
        .collect();
    assert_eq!(&names[..3], &[Ok("a.tiff"), Ok("b.PNG"), Ok("c.npy")]);
    assert_eq!(listed[3].as_ref().unwrap_err().kind(), ReadErrorKind::NotFound);
    assert!(listed[3].as_ref().unwrap_err().to_string().contains("missing.png"));
    assert_eq!(names[4], Ok("notes.txt"), "a file named by the user is kept, whatever its ending");
    assert_eq!(listed.len(), 5);
}

#[test]
fn an_empty_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(list(&[folder.path().into()])[0].as_ref().unwrap_err().kind(), ReadErrorKind::Empty);
}

#[test]
fn content_decides_and_strangers_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut dicom = b"II*\0".to_vec();
    dicom.resize(128, 0);
    dicom.extend_from_slice(b"DICM");
    let cases: [(&[u8], ReadErrorKind, &str); 6] = [
        (b"", ReadErrorKind::Empty, "empty"),
        (b"GIF89a", ReadErrorKind::UnknownFormat, "none of"),
        (b"\xff\xd8\xff\xe0", ReadErrorKind::UnknownFormat, "JPEG"),
        (b"PK\x03\x04", ReadErrorKind::UnknownFormat, ".npz"),
        (&dicom, ReadErrorKind::UnknownFormat, "DICOM"),
        (b"\x89PNG\r\n\x1a\n", ReadErrorKind::Length, "header"),
    ];
    for (bytes, kind, word) in cases {
        let path = folder.path().join("image.png");
        fs::write(&path, bytes).unwrap();
        let error = open(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.name().ends_with("image.png") && !error.fix().is_empty(), "{error}");
    }
    assert_eq!(open(folder.path()).unwrap_err().kind(), ReadErrorKind::NotAFile);
    assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), ReadErrorKind::NotFound);
}

#[test]
fn a_tiff_named_png_is_read_as_tiff() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.png");
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    encoder.write_image::<::tiff::encoder::colortype::Gray8>(2, 1, &[7, 9]).unwrap();
    fs::write(&path, bytes.into_inner()).unwrap();
    assert_eq!(open(&path).unwrap().samples(), &Samples::U8(vec![7, 9]));
    assert_eq!(mask(&path).unwrap().values(), &[7, 9]);
}

#[test]
fn a_file_beyond_any_image_is_refused_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.npy");
    fs::File::create(&path).unwrap().set_len((8 << 28) + (1 << 20) + 1).unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ReadErrorKind::TooLarge);
}

/// Small valid files of every format, as bytes.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let ramp: Vec<u8> = (0..13 * 7).map(|value| (value * 37 % 251) as u8).collect();
    let mut seeds = Vec::new();
    for (name, color, pixels) in [
        ("gray", ::png::ColorType::Grayscale, &ramp[..]),
        ("palette", ::png::ColorType::Indexed, &[0, 1, 2, 1, 0, 2, 1, 1, 2][..]),
    ] {
        let mut bytes = Vec::new();
        let (width, height) = if name == "gray" { (13, 7) } else { (3, 3) };
        let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_palette(&[0, 0, 0, 255, 0, 0, 0, 255, 0][..]);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(pixels).unwrap();
        writer.finish().unwrap();
        seeds.push((name, bytes));
    }
    for compression in [::tiff::encoder::Compression::Uncompressed, ::tiff::encoder::Compression::Lzw] {
        let mut bytes = Cursor::new(Vec::new());
        let encoder = ::tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
        let mut encoder = encoder.with_compression(compression);
        encoder.write_image::<::tiff::encoder::colortype::Gray8>(13, 7, &ramp).unwrap();
        seeds.push(("tiff", bytes.into_inner()));
    }
    let mut npy =
        b"\x93NUMPY\x01\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".to_vec();
    npy.resize(128, b' ');
    npy.extend((0..6u8).flat_map(|value| f32::from(value).to_le_bytes()));
    seeds.push(("npy", npy));
    seeds
}

fn open_bytes(bytes: &[u8]) -> Result<Frame, ReadError> {
    let limits = Limits { side: 256, samples: 1 << 16 };
    let mut reader = Cursor::new(bytes);
    let masked = match sniff(&mut reader, "bytes")? {
        Format::Png => png::labels(&mut Cursor::new(bytes), "bytes", limits).is_ok(),
        Format::Tiff => return tiff::frame(&mut reader, "bytes", limits),
        Format::Npy => return npy::frame(&mut reader, "bytes", limits),
    };
    let frame = png::frame(&mut reader, "bytes", limits);
    assert!(masked || frame.is_err() || frame.as_ref().unwrap().channels() == 3);
    frame
}

#[test]
fn every_truncation_is_refused() {
    for (name, bytes) in seeds() {
        let whole = open_bytes(&bytes).unwrap();
        for length in 0..bytes.len() {
            // What follows the last pixel (PNG's IEND, TIFF's unused tail) may be cut without harm.
            if let Ok(frame) = open_bytes(&bytes[..length]) {
                assert_eq!(frame.samples(), whole.samples(), "{name} cut to {length}");
            }
        }
        assert!(open_bytes(&bytes[..bytes.len() / 2]).is_err(), "{name}");
    }
}

#[test]
fn a_flipped_bit_in_a_png_never_changes_a_pixel_silently() {
    for (name, bytes) in seeds().into_iter().filter(|(name, _)| matches!(*name, "gray" | "palette")) {
        let whole = open_bytes(&bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(frame) = open_bytes(&damaged) {
                assert_eq!(frame.samples(), whole.samples(), "{name}, bit {bit}");
            }
        }
    }
}

#[test]
fn damaged_bytes_never_panic_and_stay_within_the_limits() {
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (name, bytes) in seeds() {
        for _ in 0..4000 {
            let mut damaged = bytes.clone();
            for _ in 0..=draw(3) {
                let at = draw(damaged.len());
                damaged[at] = [0, 1, 0x7f, 0x80, 0xff, draw(256) as u8][draw(6)];
            }
            damaged.truncate(damaged.len() - if draw(4) == 0 { draw(16) } else { 0 });
            if let Ok(frame) = open_bytes(&damaged) {
                assert!(frame.width() <= 256 && frame.height() <= 256, "{name}");
            }
        }
    }
}
