//! Bad folders of frames and masks for packing and evaluation: missing, damaged, or of another size.

use png::{BitDepth, ColorType};

use crate::pictures::{self, gray, png};
use crate::table::{SIDE, Table};

const PIXELS: usize = SIDE * SIDE;

/// Every row about folders.
pub fn rows(table: &mut Table) {
    masks(table);
    images(table);
    packing(table);
    evaluating(table);
}

/// One frame with a mask file of that content: a row of `pack` and one of `evaluate`.
fn mask(table: &mut Table, name: &str, bytes: Option<&[u8]>) {
    let (frame, sound) = pictures::scene(SIDE, 1);
    table.file(&format!("{name}/images/a.png"), &frame);
    table.file(&format!("{name}/images/b.png"), &frame);
    table.file(&format!("{name}/masks/b.png"), &sound);
    if let Some(bytes) = bytes {
        table.file(&format!("{name}/masks/a.png"), bytes);
    }
    let folders = format!("--images $DIR/{name}/images --masks $DIR/{name}/masks");
    table.refused(3, &format!("candor-lab pack $DIR/model.onnx {folders} -o $DIR/never.candor"));
    table.refused(3, &format!("candor-lab evaluate $DIR/model.candor {folders}"));
    assert!(!table.path("never.candor").exists(), "a package was written in spite of {name}");
}

fn masks(table: &mut Table) {
    mask(table, "mask-missing", None);
    mask(table, "mask-empty", Some(&[]));
    mask(table, "mask-of-other-size", Some(&gray(16, 64, &[0; PIXELS])));
    let mut values = [0; PIXELS];
    values[33] = 2;
    values[34] = 1;
    mask(table, "mask-value-no-class", Some(&gray(SIDE, SIDE, &values)));
    let colours: Vec<u8> = (0..PIXELS * 3).map(|at| (at % 3) as u8).collect();
    mask(table, "mask-in-colour", Some(&png(SIDE, SIDE, ColorType::Rgb, BitDepth::Eight, &colours)));
    let sixteen = vec![0x12; PIXELS * 2];
    mask(table, "mask-of-16-bits", Some(&png(SIDE, SIDE, ColorType::Grayscale, BitDepth::Sixteen, &sixteen)));
    mask(table, "mask-cut", Some(&pictures::scene(SIDE, 1).1[..50]));
}

fn images(table: &mut Table) {
    let (frame, _) = pictures::scene(SIDE, 1);
    table.file("damaged-image/a.png", &frame);
    table.file("damaged-image/b.png", &frame[..50]);
    table.file("none/readme.txt", b"");
    for folder in ["damaged-image", "none", "no-such-folder"] {
        table.refused(
            3,
            &format!("candor-lab pack $DIR/model.onnx --images $DIR/{folder} -o $DIR/never.candor"),
        );
    }
    table.file("colour-array/a.npy", &pictures::npy_floats("(3, 4, 4)", &[0.5; 48]));
    table.refused(3, "candor-lab pack $DIR/model.onnx --images $DIR/colour-array -o $DIR/never.candor");
    table.file("only.txt", b"no-such-frame\n");
    let pack = "candor-lab pack $DIR/model.onnx --images $DIR/frames";
    table.refused(3, &format!("{pack} --only $DIR/only.txt -o $DIR/never.candor"));
    table.refused(3, &format!("{pack} --only $DIR/no-such.txt -o $DIR/never.candor"));
}

fn packing(table: &mut Table) {
    let pack = "candor-lab pack $DIR/model.onnx --images $DIR/frames";
    table.refused(3, "candor-lab pack $DIR/model.onnx -o $DIR/never.candor");
    table.refused(3, &format!("{pack} --classes one,two,three -o $DIR/never.candor"));
    table.refused(3, &format!("{pack} --card $DIR/no-such.md -o $DIR/never.candor"));
    table.refused(3, &format!("{pack} -o $DIR/no/such/folder.candor"));
    table.refused(3, &format!("{pack} --geometry tile --overlap 64 -o $DIR/never.candor"));
    table.refused(3, &format!("{pack} --geometry tile --overlap 7 -o $DIR/never.candor"));
    for alpha in ["0", "1", "NaN"] {
        table.refused(2, &format!("{pack} --alpha {alpha} -o $DIR/never.candor"));
    }
    table.refused(2, "candor-lab pack $DIR/model.onnx --masks $DIR/masks -o $DIR/never.candor");
    table.refused(2, pack);
    assert!(!table.path("never.candor").exists(), "a package was written in spite of an error");
}

fn evaluating(table: &mut Table) {
    let evaluate = "candor-lab evaluate $DIR/model.candor --images $DIR/frames --masks $DIR/masks";
    table.refused(2, &format!("{evaluate} --ood unnamed"));
    table.refused(3, &format!("{evaluate} --ood other=$DIR/no-such-folder"));
    table.refused(3, &format!("{evaluate} --float $DIR/empty.onnx"));
    table.refused(3, &format!("{evaluate} --report $DIR/no/such/report.html"));
    table.file("train.toml", b"[training]\nsteps = \"many\"\n");
    table.refused(3, "candor-lab train $DIR/train.toml");
    table.refused(3, "candor-lab train $DIR/no-such.toml");
}
