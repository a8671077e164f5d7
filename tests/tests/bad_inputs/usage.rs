//! Wrong command lines, memory budgets that cannot be met, and devices that are not there.

use crate::pictures::gray;
use crate::table::Table;

/// Every row about the command line.
pub fn rows(table: &mut Table) {
    for command in [
        "candor divine",
        "candor run",
        "candor run $DIR/model.candor",
        "candor run $DIR/model.candor $DIR/frames/03.png --quickly",
        "candor run $DIR/model.candor $DIR/frames/03.png --threads 0",
        "candor run $DIR/model.candor $DIR/frames/03.png --threads 65",
        "candor run $DIR/model.candor $DIR/frames/03.png --threads two",
        "candor run $DIR/model.candor $DIR/frames/03.png --tier mmx",
        "candor run $DIR/model.candor $DIR/frames/03.png --memory 8MB",
        "candor run $DIR/model.candor $DIR/frames/03.png --memory 99999999999999999999",
        "candor run $DIR/model.candor $DIR/frames/03.png --memory 99999999999GiB",
        "candor bench $DIR/model.candor --frames 0",
        "candor stream $DIR/model.candor",
        "candor stream $DIR/model.candor --source camera",
        "candor stream $DIR/model.candor --source raw:-",
        "candor stream $DIR/model.candor --source raw:- --frame 640x480",
        "candor stream $DIR/model.candor --source y4m:- --frame 640x480:gray8",
        "candor stream $DIR/model.candor --source phantom:speed=3",
        "candor stream $DIR/model.candor --source phantom: --rate fast",
        "candor stream $DIR/model.candor --source phantom: --late sometimes",
        "candor stream $DIR/model.candor --source phantom: --deadline -1",
        "candor stream $DIR/model.candor --source phantom: --profile toaster",
        "candor stream $DIR/model.candor --source phantom: --warmup 3",
        "candor stream $DIR/model.candor --source phantom: --view 0.0.0.0:8080",
        "candor stream $DIR/model.candor --source phantom: --metrics here",
        "candor stream $DIR/model.candor --source phantom: --events $DIR/e.jsonl --segment 1MB",
        "candor log",
        "candor inspect",
        "candor selftest $DIR/model.candor --frames 3",
        "candor-lab divine",
        "candor-lab check",
        "candor-lab pack $DIR/model.onnx --normalize sometimes -o $DIR/never.candor",
        "candor-lab evaluate $DIR/model.candor",
    ] {
        table.refused(2, command);
    }
    table.refused(3, "candor stream $DIR/model.candor --source dir:$DIR/nowhere");
    table.refused(3, "candor stream $DIR/model.candor --source phantom: --events $DIR/nowhere/e.jsonl");
    table.refused(3, "candor stream $DIR/model.candor --source phantom: --profile $DIR/nowhere.toml");
    table.refused(3, "candor log verify $DIR/nowhere.jsonl");
    table.file("forged.jsonl", b"{\"n\":0,\"event\":\"segment\"}\n");
    table.refused(3, "candor log verify $DIR/forged.jsonl");
    table.refused(5, "candor run $DIR/model.candor $DIR/frames/03.png --device abacus");
    for verb in
        ["run $DIR/model.candor $DIR/frames/03.png", "bench $DIR/model.candor", "selftest $DIR/model.candor"]
    {
        table.refused(4, &format!("candor {verb} --memory 4KiB"));
    }
    // The model's own extent fits this budget, the frame does not.
    table.file("large.png", &gray(700, 900, &[90; 630_000]));
    table.refused(4, "candor run $DIR/model.candor $DIR/large.png --memory 1MiB");
    // An input that no budget helps counts more than one that a greater budget would.
    table.file("empty.png", b"");
    table.refused(3, "candor run $DIR/model.candor $DIR/large.png $DIR/empty.png --memory 1MiB");
}
