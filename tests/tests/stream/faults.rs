//! A full disk, a removed log, bad bytes on a pipe, signals and a lost state: each is told, and the stream
//! goes on.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{Place, count, events};

/// Takes events until one holds `text`, at most a minute.
fn wait_for(running: &crate::command::Running, text: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let line = running.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no event with {text}"));
        if line.contains(text) {
            return serde_json::from_str(&line).expect("a line is JSON");
        }
    }
}

#[test]
fn a_stream_outlives_a_full_disk_and_tells_of_the_gap() {
    let place = Place::new();
    // A limit of the size of files refuses writes as a full disk does, in the middle of a line.
    let running = place.start(Some(24), &["--source", "phantom:pool=4", "--rate", "100"]);
    wait_for(&running, "storage-lost");
    wait_for(&running, "checkpoint_failed");
    for _ in 0..50 {
        wait_for(&running, r#""event":"frame""#);
    }
    let id = running.child.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status();
    assert!(lifted.expect("prlimit starts").success());
    let gap = wait_for(&running, r#""change":"cleared","severity":"warning","reason":"storage-lost""#);
    assert!(gap["n"].is_u64(), "it is in the log: {gap}");
    running.signal("TERM");
    let (code, _, errors) = running.end();
    assert_eq!(code, Some(0), "{errors}");
    let found = place.verified();
    assert!(found["lost"].as_u64().is_some_and(|lost| lost >= 50), "{found}");
    let log = place.lines();
    let gap = log.iter().find(|line| line["event"] == "gap").expect("the gap is told");
    assert_eq!(gap["events_lost"], 0);
    let raised = |line: &&Value| line["reason"] == "storage-lost" && line["change"] == "raised";
    assert_eq!(log.iter().filter(raised).count(), 1, "what was held while the disk was full is there");
    let last = log.last().expect("there are lines");
    assert_eq!(last["event"], "stopped", "a failure from before the end is told before it: {last}");
    let frames = count(&log, "frame") as u64;
    assert_eq!(last["processed"].as_u64(), Some(frames + found["lost"].as_u64().unwrap_or(0)));
}

#[test]
fn a_removed_log_is_made_again_with_all_its_lines() {
    let place = Place::new();
    let running = place.start(None, &["--source", "phantom:pool=4", "--rate", "50"]);
    let first = wait_for(&running, r#""event":"frame","seq":20,"#);
    std::fs::remove_file(place.log()).expect("it is there");
    let end = Instant::now() + Duration::from_secs(60);
    while !place.log().exists() {
        assert!(Instant::now() < end, "the log does not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_for(&running, r#""event":"frame""#);
    running.signal("INT");
    let (code, _, errors) = running.end();
    assert_eq!(code, Some(0), "{errors}");
    let found = place.verified();
    assert_eq!((&found["first_line"], &found["lost"]), (&Value::from(0), &Value::from(0)));
    let log = place.lines();
    let number = first["n"].as_u64().expect("it was written") as usize;
    assert_eq!(log[number]["seq"], 20, "lines from before are there");
    assert!(log.iter().any(|line| line["event"] == "segment" && line["cause"] == "removed"));
    assert_eq!(log.last().map(|line| &line["cause"]), Some(&Value::from("signal")));
}

#[test]
fn bad_bytes_on_a_pipe_cost_their_own_frames_alone() {
    let frame: Vec<u8> = (0..160 * 120).map(|at| (at % 251) as u8).collect();
    let floats: Vec<u8> = frame.iter().flat_map(|&value| (f32::from(value) / 255.0).to_le_bytes()).collect();
    let mut bad = floats.clone();
    bad[4000..4004].copy_from_slice(&f32::NAN.to_le_bytes());
    let place = Place::new();
    let input = [&floats[..], &bad, &floats, &floats[..1000]].concat();
    let raw = ["--source", "raw:-", "--frame", "160x120:gray32f@30", "--rate", "follow"];
    let told = events(&place, &raw, &input);
    assert_eq!((count(&told, "frame"), count(&told, "rejected")), (2, 2), "{told:?}");
    let faults: Vec<&Value> = told.iter().filter(|event| event["event"] == "rejected").collect();
    assert_eq!((&faults[0]["fault"], &faults[0]["index"]), (&"non_finite".into(), &1000.into()));
    assert_eq!((&faults[1]["fault"], &faults[1]["bytes"]), (&"short_frame".into(), &1000.into()));
    let mut video = b"YUV4MPEG2 W160 H120 F30:1 Cmono\n".to_vec();
    for part in
        [&b"FRAME\n"[..], &frame, b"noise on the line", b"FRAME\n", &frame, b"FRAME\n", &frame[..9000]]
    {
        video.extend_from_slice(part);
    }
    video.extend_from_slice(b"FRAME\n");
    video.extend_from_slice(&frame);
    let told = events(&place, &["--source", "y4m:-", "--rate", "follow"], &video);
    assert_eq!((count(&told, "frame"), count(&told, "rejected")), (3, 2), "{told:?}");
    let started = told.iter().find(|event| event["event"] == "started").expect("it began");
    assert_eq!((&started["state"], &started["seq"]), (&"newest".into(), &4.into()), "it goes on");
    let found = place.verified();
    assert_eq!(found["events"]["frame"], 5);
}

#[test]
fn a_stalled_pipe_is_told_and_a_signal_ends_the_wait_for_it() {
    let place = Place::new();
    let raw = ["--source", "raw:-", "--frame", "160x120:gray8", "--stall", "0.3"];
    let mut running = place.start(None, &raw);
    let mut stdin = running.stdin();
    let frame = vec![90; 160 * 120];
    stdin.write_all(&frame).expect("it reads");
    wait_for(&running, r#""event":"frame","seq":0,"#);
    wait_for(&running, r#""fault":"stalled""#);
    wait_for(&running, r#""change":"raised","severity":"critical","reason":"source-stalled""#);
    running.signal("USR1");
    wait_for(&running, r#""change":"acknowledged","severity":"critical","reason":"source-stalled""#);
    stdin.write_all(&frame).expect("it reads");
    wait_for(&running, r#""fault":"resumed""#);
    wait_for(&running, r#""event":"frame","seq":1,"#);
    running.signal("TERM");
    let status = running.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0), "a read that never returns does not keep it");
    drop(stdin);
    assert_eq!(place.verified()["events"]["stopped"], 1);
}

#[test]
fn damaged_states_and_logs_are_told_and_left_for_evidence() {
    let place = Place::new();
    let arguments = ["--source", "phantom:pool=4", "--frames", "5"];
    for _ in 0..2 {
        events(&place, &arguments, b"");
    }
    for slot in ["state.0", "state.1"] {
        std::fs::write(place.path("state").join(slot), b"rubbish").expect("it can be written");
    }
    let text = std::fs::read_to_string(place.log()).expect("it is there");
    std::fs::write(place.log(), text.replacen(r#""seq":3,"#, r#""seq":4,"#, 1)).expect("it can be written");
    let told = events(&place, &arguments, b"");
    let started = told.iter().find(|event| event["event"] == "started").expect("it began");
    assert_eq!((&started["state"], &started["seq"]), (&"lost".into(), &10.into()), "no number comes twice");
    let output = Command::new(candor_tests::binaries::binary("candor"))
        .args(["log", "verify"])
        .arg(place.log())
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(3));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(".damaged: line 6: its chain value does not follow"), "{errors}");
}
