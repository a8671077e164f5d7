//! Corrected masks in a folder: learned once, on record, and what does not fit is refused.

use candor_imaging::labels::Labels;
use candor_imaging::{read, write};

use crate::command::{Place, count, events};

#[test]
fn corrected_masks_teach_the_calibrator_and_survive_a_restart() {
    let place = Place::new();
    let labels = place.path("labels");
    std::fs::create_dir(&labels).expect("the folder can be written");
    // A first run writes its masks, of which some come back as corrected ones.
    let out = place.path("out");
    let text = |path: &std::path::Path| path.display().to_string();
    let source = "phantom:seed=5,pool=8";
    events(&place, &["--source", source, "--frames", "8", "--out", &text(&out)], b"");
    let colours = [[0, 0, 0], [1, 1, 1], [2, 2, 2]];
    let save = |name: String, labels_of: &Labels| {
        write::mask_png(&labels.join(name), labels_of, &colours).expect("the mask can be written");
    };
    // The second run sees the same slices under the numbers 8 to 15.
    for index in 0..3 {
        let mask = read::mask(&out.join(format!("{index:012}.mask.png"))).expect("it was written");
        save(format!("{:012}.png", index + 8), &mask);
    }
    save("000000000011.png".into(), &Labels::new(3, 3, vec![0; 9]).expect("a small mask"));
    save("000000009999.png".into(), &Labels::new(160, 120, vec![0; 160 * 120]).expect("a mask"));
    // Masks are younger than a look at first: the source waits before the last frame.
    let source = "phantom:seed=5,pool=8,stall=4@7";
    let arguments = ["--source", source, "--frames", "8", "--labels", &text(&labels), "--stall", "60"];
    let told = events(&place, &arguments, b"");
    let lessons: Vec<_> = told.iter().filter(|event| event["event"] == "label").collect();
    assert_eq!(lessons.len(), 5, "{lessons:?}");
    for lesson in &lessons {
        let fits = lesson["seq"].as_u64().is_some_and(|seq| (8..11).contains(&seq));
        assert_eq!(lesson["used"], fits, "{lesson}");
        assert_eq!(lesson["ece_before"].is_number(), fits, "{lesson}");
    }
    let told_of = |reason: &str| told.iter().filter(|event| event["reason"] == reason).count();
    assert_eq!((told_of("recalibrated"), told_of("labels-rejected")), (3, 2), "{told:?}");
    let files = |name: &str| std::fs::read_dir(labels.join(name)).expect("it was made").count();
    assert_eq!((files("used"), files("refused")), (3, 2));
    // What was learned is in the state: the next run goes on with it.
    let told = events(&place, &["--source", source, "--frames", "2"], b"");
    assert_eq!((count(&told, "frame"), count(&told, "label")), (2, 0));
    let started = told.iter().find(|event| event["event"] == "started").expect("it began");
    assert_eq!(started["state"], "newest");
    place.verified();
}
