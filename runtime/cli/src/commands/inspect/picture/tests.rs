//! The picture shows every tensor that holds bytes, within the arena.

use super::draw;
use candor::Package;
use candor::planner::{Goal, plan};

#[test]
fn every_stored_tensor_has_a_box_inside_the_frame() {
    let package = Package::load(crate::commands::demo::PACKAGE).unwrap();
    let view = package.view().unwrap();
    let stated = view.plan().unwrap();
    let planned = plan(&stated, Goal::default()).unwrap();
    let svg = draw(&stated, &planned).unwrap();
    let stored = planned.lifetimes.iter().filter(|life| life.bytes > 0).count();
    assert!(stored > 4);
    assert_eq!(svg.matches("<g><title>").count(), stored);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    for number in svg.split(" y=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let y: f64 = number.parse().unwrap();
        assert!((0.0..=540.0).contains(&y), "{y}");
    }
}
