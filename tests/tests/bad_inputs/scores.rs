//! Recorded series of scores that are none, or too short to say anything.

use crate::pictures::npy_floats;
use crate::table::Table;

/// Every row about `candor-lab drift`.
pub fn rows(table: &mut Table) {
    let scores: Vec<f32> = (0..512_u32).map(|at| (at * 7919 % 101) as f32).collect();
    table.file("scores.npy", &npy_floats("(512,)", &scores));
    table.file("cube.npy", &npy_floats("(8, 8, 8)", &scores));
    table.file("wide-scores.npy", &npy_floats("(64, 8)", &scores));
    table.refused(3, "candor-lab drift $DIR/no-such.npy");
    table.refused(3, "candor-lab drift $DIR/frames/03.png");
    table.refused(3, "candor-lab drift $DIR/cube.npy");
    table.refused(3, "candor-lab drift $DIR/scores.npy");
    for wrong in ["--warmup 63", "--false-alarms 0", "--false-alarms 0.6", "--horizon 0"] {
        table.refused(2, &format!("candor-lab drift $DIR/scores.npy {wrong}"));
    }
    table.refused(3, "candor-lab drift $DIR/wide-scores.npy");
    table.run("candor-lab drift $DIR/scores.npy --warmup 128", 0);
}
