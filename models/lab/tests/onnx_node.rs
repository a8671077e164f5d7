//! ONNX's own operator cases through importer and executor; the outcome of each is a committed snapshot.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use candor_lab::execute;
use candor_lab::network::{Data, Network, Tensor};
use candor_lab::onnx::{Import, ImportErrors, ImportOptions, NamedTensor, import, read_tensor, simplify};

/// Relative and absolute tolerance on floats.
const TOLERANCE: (f32, f32) = (1e-3, 1e-5);
/// One line per case: its name, a space, and `passed` (and with which inputs as constants) or `refused: `
/// with the importer's reason.
const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx_node.txt");

/// The folder of cases, or `None` after saying why the test is skipped.
fn cases() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let base = std::env::var_os("CANDOR_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let folder = base.join("onnx-node");
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var("CANDOR_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|entry| entry.trim() == "data"), "{} is required", folder.display());
    println!("SKIPPED {} does not exist; CANDOR_DATA names the folder that holds it", folder.display());
    None
}

/// `input_0.pb`, `input_1.pb`, .. of a case, or its outputs.
fn tensors(case: &Path, prefix: &str) -> Result<Vec<NamedTensor>, ImportErrors> {
    let paths = (0..).map(|index| case.join(format!("test_data_set_0/{prefix}_{index}.pb")));
    paths
        .take_while(|path| path.exists())
        .map(|path| read_tensor(&std::fs::read(path).expect("a readable tensor")))
        .collect()
}

/// Imports a case and says with which inputs as constants. The cases hand over as graph inputs what a model
/// file holds as constants (shapes, bounds, scales), so a refusal is retried with the integer inputs, then
/// with all inputs but the first, as constants; the last refusal counts.
fn import_case(bytes: &[u8], inputs: &[NamedTensor]) -> Result<(Import, &'static str), ImportErrors> {
    let with_constants = |constant: &dyn Fn(usize, &NamedTensor) -> bool| {
        let fixed = inputs.iter().enumerate().filter(|(index, input)| constant(*index, input));
        let fixed_inputs = fixed.map(|(_, input)| (input.name.clone(), input.tensor.clone())).collect();
        import(bytes, &ImportOptions { fixed_inputs, ..ImportOptions::default() })
    };
    let alone = with_constants(&|_, _| false).map(|import| (import, "passed"));
    let integers = |_| with_constants(&|_, input| !input.element.is_float());
    let others = |_| with_constants(&|index, _| index > 0);
    alone
        .or_else(|errors| integers(errors).map(|import| (import, "passed, integer inputs constant")))
        .or_else(|errors| others(errors).map(|import| (import, "passed, inputs but the first constant")))
}

/// How a case ended: the reason of a refusal, or `Err` with what is wrong.
fn outcome(case: &Path) -> Result<String, String> {
    let bytes = std::fs::read(case.join("model.onnx")).expect("a readable model");
    let refused = |errors: ImportErrors| Ok(format!("refused: {}", errors.to_string().replace('\n', "; ")));
    let inputs = match tensors(case, "input") {
        Ok(inputs) => inputs,
        // An input this project has no type for: the model itself must be refused too.
        Err(_) => {
            return import(&bytes, &ImportOptions::default())
                .map_or_else(refused, |_| Err("imported".into()));
        }
    };
    let (mut network, passed) = match import_case(&bytes, &inputs) {
        Ok((imported, _)) if imported.network.inputs.is_empty() => {
            (imported.network, "passed, folded on import")
        }
        Ok((imported, passed)) => (imported.network, passed),
        Err(errors) => return refused(errors),
    };
    let expected = tensors(case, "output").map_err(|errors| format!("imported, but its output: {errors}"))?;
    compare(&network, &inputs, &expected).map_err(|problem| format!("as imported: {problem}"))?;
    simplify(&mut network);
    compare(&network, &inputs, &expected).map_err(|problem| format!("simplified: {problem}"))?;
    Ok(passed.into())
}

/// Runs the network on the inputs of these names and compares every output.
fn compare(network: &Network, inputs: &[NamedTensor], expected: &[NamedTensor]) -> Result<(), String> {
    let mut operands = Vec::new();
    for &id in &network.inputs {
        let name = &network.values[id].name;
        let input = inputs.iter().find(|input| input.name == *name);
        operands.push(input.ok_or_else(|| format!("the case has no input {name}"))?.tensor.clone());
    }
    let outputs = execute::run(network, &operands, &mut |_, _| {}).map_err(|error| error.to_string())?;
    if outputs.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", outputs.len(), expected.len()));
    }
    outputs.iter().zip(expected).try_for_each(|(actual, expected)| differs(actual, &expected.tensor))
}

/// Floats within the tolerance, everything else exactly.
fn differs(actual: &Tensor, expected: &Tensor) -> Result<(), String> {
    if actual.shape != expected.shape {
        return Err(format!("shape {:?}, expected {:?}", actual.shape, expected.shape));
    }
    let (Data::F32(actual), Data::F32(expected)) = (&actual.data, &expected.data) else {
        return if actual == expected { Ok(()) } else { Err(format!("{actual:?}, expected {expected:?}")) };
    };
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual - expected).abs() <= TOLERANCE.1 + TOLERANCE.0 * expected.abs();
        if !(close || actual == expected || (actual.is_nan() && expected.is_nan())) {
            return Err(format!("element {index} is {actual}, expected {expected}"));
        }
    }
    Ok(())
}

#[test]
fn every_onnx_case_passes_or_is_refused_as_the_snapshot_says() {
    let Some(folder) = cases() else { return };
    let mut outcomes = BTreeMap::new();
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let case = entry.unwrap().path();
        if !case.join("model.onnx").exists() {
            continue;
        }
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        match catch_unwind(AssertUnwindSafe(|| outcome(&case))) {
            Ok(Ok(outcome)) => drop(outcomes.insert(name, outcome)),
            Ok(Err(problem)) => failures.push(format!("{name}: {problem}")),
            Err(_) => failures.push(format!("{name}: panicked")),
        }
    }
    let passed = outcomes.values().filter(|outcome| outcome.starts_with("passed")).count();
    println!("{passed} passed, {} refused by name", outcomes.len() - passed);
    assert!(failures.is_empty(), "{} cases are wrong:\n{}", failures.len(), failures.join("\n"));
    let lines: Vec<String> = outcomes.iter().map(|(name, outcome)| format!("{name} {outcome}")).collect();
    check_snapshot(&lines);
}

/// Compares with the committed snapshot, or rewrites it under `CANDOR_BLESS=1`.
fn check_snapshot(lines: &[String]) {
    if std::env::var_os("CANDOR_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(SNAPSHOT, lines.join("\n") + "\n").expect("a writable snapshot");
        return;
    }
    let committed = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    let committed: Vec<&str> = committed.lines().collect();
    let gone =
        committed.iter().filter(|line| !lines.iter().any(|now| now == *line)).map(|line| format!("- {line}"));
    let new = lines.iter().filter(|line| !committed.contains(&line.as_str())).map(|line| format!("+ {line}"));
    let changes: Vec<String> = gone.chain(new).collect();
    assert!(
        changes.is_empty(),
        "{SNAPSHOT} is out of date; if the change is meant, CANDOR_BLESS=1 rewrites it:\n{}",
        changes.join("\n")
    );
}
