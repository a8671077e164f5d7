//! The drift detector against a second one that was written from its description, in NumPy.

use std::path::Path;
use std::process::Command;

use candor_tests::binaries::binary;
use candor_tests::{python, workspace_root};
use serde_json::Value;

fn document(command: &mut Command) -> Value {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn compare(python: &Path, name: &str, seed: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scores = folder.path().join("scores.npy");
    let script = workspace_root().join("tests/oracle/drift.py");
    let expected = document(Command::new(python).arg(script).arg(name).arg(&scores).arg(seed));
    let found = document(Command::new(binary("candor-lab")).arg("drift").arg(&scores).arg("--json"));
    let alarm = found["alarms"].get(0).cloned().unwrap_or(Value::Null);
    assert_eq!(alarm, expected["alarm"], "{name} {seed}");
    // After an alarm the runtime goes on and the second detector stops: compare what it was at the alarm.
    let at_alarm = &found["evidence"][0];
    let (blocks, evidence) = match alarm {
        Value::Null => (&found["blocks"], &found["evidence_max"]),
        _ => (&at_alarm["blocks"], &at_alarm["evidence"]),
    };
    assert_eq!(blocks, &expected["blocks"], "{name} {seed}");
    let (evidence, wanted) = (evidence.as_f64(), expected["evidence_max"].as_f64());
    let (evidence, wanted) = evidence.zip(wanted).expect("evidence is a number");
    assert!((evidence / wanted - 1.0).abs() < 1e-9, "{name} {seed}: {evidence} for {wanted}");
    println!("{name} {seed}: block {}, alarm {}, evidence {wanted:.6}", expected["block"], expected["alarm"]);
}

#[test]
fn equals_the_second_detector() {
    let Some(python) = python() else { return };
    for name in ["shift", "still", "slow", "ramp", "ties"] {
        for seed in ["1", "2"] {
            compare(&python, name, seed);
        }
    }
}
