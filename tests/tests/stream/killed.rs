//! Processes killed at random moments: no line that was told is lost, no number given twice.
//!
//! `CANDOR_STREAM_KILLS=200` kills more often.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::Place;

/// Kills when nothing else is asked for.
const KILLS: u64 = 12;
/// Longest that a stream may live.
const LIFE_MS_MAX: u64 = 900;

#[test]
fn no_told_line_is_lost_when_the_process_is_killed() {
    let asked = std::env::var("CANDOR_STREAM_KILLS").ok();
    let kills = asked.map_or(KILLS, |text| text.parse().expect("CANDOR_STREAM_KILLS is a number"));
    let place = Place::new();
    // Small segments, so that kills also hit the moments when one is closed.
    let arguments = ["--source", "phantom:seed=3,pool=4,nan@5..9", "--segment", "20KiB", "--warmup", "64"];
    let mut told: Vec<Value> = Vec::new();
    let (mut state, mut slowest) = (0x2545_f491_4f6c_dd1d_u64, Duration::ZERO);
    for kill in 0..kills {
        let begun = Instant::now();
        let mut running = place.start(None, &arguments);
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis((state >> 33) % LIFE_MS_MAX);
        while begun.elapsed() < life {
            if let Ok(line) = running.lines.recv_timeout(life.saturating_sub(begun.elapsed())) {
                let event: Value = serde_json::from_str(&line).expect("a line is JSON");
                if event["event"] == "started" {
                    slowest = slowest.max(begun.elapsed());
                }
                told.push(event);
            }
        }
        running.child.kill().expect("it can be killed");
        let (code, lines, errors) = running.end();
        assert_eq!(code, None, "kill {kill}: it lived until it was killed: {errors}");
        told.extend(lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")));
    }
    let arguments = [&arguments[..], &["--frames", "3"]].concat();
    let (code, lines, errors) = place.start(None, &arguments).end();
    assert_eq!(code, Some(0), "{errors}");
    told.extend(lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")));
    let found = place.verified();
    let log = place.lines();
    println!(
        "{kills} kills, {} lines told, {} in the log, {} repaired; first line after at most {} ms",
        told.len(),
        found["lines"],
        found["events"]["repaired"],
        slowest.as_millis()
    );
    assert_eq!(found["lines"].as_u64(), Some(log.len() as u64));
    for event in &told {
        let number = event["n"].as_u64().expect("every line was written");
        let line = &log[number as usize];
        assert_eq!((&line["event"], &line["seq"]), (&event["event"], &event["seq"]), "line {number}");
    }
    let last = log.last().expect("there are lines");
    assert_eq!(last["event"], "stopped");
    let counted = ["processed", "superseded", "rejected", "late"].map(|key| last[key].as_u64().unwrap_or(0));
    assert_eq!(last["arrived"].as_u64(), Some(counted.iter().sum()));
}
