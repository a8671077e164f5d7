//! The document of events names every event that logs can hold.

use candor_tests::workspace_root;

#[test]
fn every_event_is_documented() {
    let read = |path: &str| std::fs::read_to_string(workspace_root().join(path)).expect("it is there");
    let document = read("runtime/cli/events.md");
    let source = read("runtime/engine/src/stream/event.rs");
    let (_, events) = source.split_once("pub enum Event<'a> {").expect("there are events");
    let (events, _) = events.split_once("\n}\n").expect("they end");
    // Variants stand four columns in, fields eight.
    let own = events
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    let mut names = 0;
    for variant in own {
        let name = variant.split(['(', ' ', ',']).next().unwrap_or_default();
        let mut snake = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        assert!(document.contains(&format!("| `{snake}` |")), "{snake} is not documented");
        names += 1;
    }
    assert!(names >= 14, "{names} events found in the source");
}
