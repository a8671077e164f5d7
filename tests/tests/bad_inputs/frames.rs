//! Bad and unusual frame files: cut, damaged, of another kind, far too large, or with NaN in it.

use png::{BitDepth, ColorType};
use tiff::encoder::colortype;

use crate::pictures::{self, gray, npy, npy_floats, png};
use crate::table::{SIDE, Table};

/// Samples of a sound model input.
const VALUES: usize = SIDE * SIDE;

/// Every row about frames.
pub fn rows(table: &mut Table) {
    for (name, bytes) in damaged() {
        table.frame(name, &bytes);
    }
    pictures_of_other_kinds(table);
    arrays(table);
    paths(table);
}

/// Files that are refused, for trying each beside a sound one.
pub fn damaged() -> Vec<(&'static str, Vec<u8>)> {
    let (sound, _) = pictures::scene(SIDE, 5);
    let mut flipped = sound.clone();
    flipped[60] ^= 1;
    let tiff = pictures::tiff::<colortype::Gray8>(SIDE as u32, SIDE as u32, 1);
    let mut values = vec![0.5; VALUES];
    values[100] = f32::NAN;
    vec![
        ("empty.png", Vec::new()),
        ("cut-in-header.png", sound[..20].to_vec()),
        ("cut-in-image.png", sound[..sound.len() - 40].to_vec()),
        ("flipped.png", flipped),
        ("wide.png", gray(20_000, 2, &[7; 40_000])),
        ("cut.tif", tiff[..tiff.len() / 2].to_vec()),
        ("cmyk.tif", pictures::tiff::<colortype::CMYK8>(SIDE as u32, SIDE as u32, 4)),
        ("nan.npy", npy_floats("(1, 32, 32)", &values)),
        ("text.png", b"not a picture\n".to_vec()),
    ]
}

/// Commands on sound files of unusual kinds.
pub fn sound(table: &Table) -> Vec<String> {
    let ramp: Vec<u8> = (0..VALUES * 2).map(|at| (at * 31 % 251) as u8).collect();
    let side = SIDE as u32;
    let picture = |color, depth, bytes: usize| png(SIDE, SIDE, color, depth, &ramp[..bytes]);
    let rgb: Vec<u8> = (0..VALUES * 3).map(|at| (at * 17 % 253) as u8).collect();
    let values: Vec<f32> = (0..VALUES).map(|at| at as f32 / 512.0 - 1.0).collect();
    let files = [
        ("sixteen.png", picture(ColorType::Grayscale, BitDepth::Sixteen, VALUES * 2)),
        ("one-bit.png", picture(ColorType::Grayscale, BitDepth::One, VALUES / 8)),
        ("palette.png", picture(ColorType::Indexed, BitDepth::Two, VALUES / 4)),
        ("alpha.png", picture(ColorType::GrayscaleAlpha, BitDepth::Eight, VALUES * 2)),
        ("colour.png", png(SIDE, SIDE, ColorType::Rgb, BitDepth::Eight, &rgb)),
        ("content-decides.dat", gray(SIDE, SIDE, &ramp[..VALUES])),
        ("other-size.png", gray(47, 13, &ramp[..47 * 13])),
        ("one-pixel.png", gray(1, 1, &[9])),
        ("sixteen.tif", pictures::tiff::<colortype::Gray16>(side, side, 1)),
        ("plain.npy", npy_floats("(1, 32, 32)", &values)),
        ("plane.npy", npy_floats("(32, 32)", &values)),
    ];
    let commands = files.map(|(name, bytes)| {
        table.file(name, &bytes);
        format!("candor run $DIR/model.candor $DIR/{name} --out $DIR/sound --threads 2")
    });
    commands.to_vec()
}

fn pictures_of_other_kinds(table: &mut Table) {
    let indices = [0xff; 32];
    let mut outside = png(4, 4, ColorType::Indexed, BitDepth::Eight, &[3; 16]);
    let data = outside.windows(4).position(|window| window == b"PLTE").expect("a palette was written");
    // A palette of one colour: length, chunk and checksum of the first three bytes alone.
    let mut chunk = b"PLTE\0\0\0".to_vec();
    chunk.extend(crc(&chunk).to_be_bytes());
    outside.splice(data - 4..data + 4 + 12 + 4, [vec![0, 0, 0, 3], chunk].concat());
    table.frame("index-outside-palette.png", &outside);
    table.frame("tall.png", &gray(1, 20_000, &[7; 20_000]));
    table.frame("photo.jpg", &[&[0xff, 0xd8, 0xff, 0xe0][..], &indices[..]].concat());
    table.frame("model.onnx.png", &crate::models::sound());
    let side = SIDE as u32;
    table.frame("rgb-float.tif", &pictures::tiff::<colortype::RGB32Float>(side, side, 3));
    table.frame("signed.tif", &pictures::tiff::<colortype::GrayI16>(side, side, 1));
    table.frame("header-only.tif", b"II*\0\x08\0\0\0");
    table.frame("endless.tif", b"II*\0\xff\xff\xff\x7f");
}

/// CRC-32 of a PNG chunk (PNG Third Edition, 5.5).
fn crc(bytes: &[u8]) -> u32 {
    let shift = |value: u32| if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |value, _| shift(value)))
}

fn arrays(table: &mut Table) {
    let mut values = vec![0.5; VALUES];
    values[40] = f32::INFINITY;
    table.frame("infinite.npy", &npy_floats("(1, 32, 32)", &values));
    table.frame("other-shape.npy", &npy_floats("(1, 16, 64)", &[0.5; VALUES]));
    table.frame("other-rank.npy", &npy_floats("(1, 1, 1, 1024)", &[0.5; VALUES]));
    table.frame("no-values.npy", &npy_floats("(0, 32, 32)", &[]));
    table.frame("short.npy", &npy_floats("(1, 32, 32)", &[0.5; 100]));
    table.frame("long.npy", &npy_floats("(1, 32, 32)", &[0.5; VALUES + 1]));
    table.frame("huge.npy", &npy_floats("(65535, 65535, 65535)", &[0.5]));
    let data = [0; VALUES * 4];
    let header = |descr: &str, order: &str| {
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': (1, 32, 32), }}")
    };
    table.frame("fortran.npy", &npy(&header("'<f4'", "True"), &data));
    table.frame("big-endian.npy", &npy(&header("'>f4'", "False"), &data));
    table.frame("complex.npy", &npy(&header("'<c8'", "False"), &data));
    table.frame("object.npy", &npy(&header("'|O'", "False"), &data));
    table.frame("header-damaged.npy", &npy("{'descr': '<f4', 'shape'", &data));
    table.frame("magic-only.npy", b"\x93NUMPY");
    let mut version = npy_floats("(1, 32, 32)", &[0.5; VALUES]);
    version[6] = 9;
    table.frame("version.npy", &version);
}

/// Paths that hold no frame, and places that cannot be written.
fn paths(table: &mut Table) {
    table.file("without-images/readme.txt", b"no images here\n");
    table.refused(3, "candor run $DIR/model.candor $DIR/without-images");
    table.refused(3, "candor run $DIR/model.candor $DIR/no-such.png");
    table.file("in-the-way", b"");
    table.refused(3, "candor run $DIR/model.candor $DIR/frames/03.png --out $DIR/in-the-way");
    table.refused(3, "candor run $DIR/model.candor $DIR/frames/03.png --raw-output $DIR/no/such/folder.npy");
    let made = std::process::Command::new("mkfifo").arg(table.path("pipe.png")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo makes a pipe");
    table.refused(3, "candor run $DIR/model.candor $DIR/pipe.png");
    table.refused(
        3,
        "candor run $DIR/model.candor $DIR/no-such.png $DIR/empty.png $DIR/wide.png $DIR/frames/03.png",
    );
}
