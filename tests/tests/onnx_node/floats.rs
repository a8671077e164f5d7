//! A case through importer and float executor, before and after simplification.

use candor_lab::execute;
use candor_lab::network::{Data, Network, Tensor};
use candor_lab::onnx::{Import, ImportErrors, ImportOptions, NamedTensor, import, simplify};

use crate::case::{Case, Reading, named};

/// Relative and absolute tolerance on floats.
const TOLERANCE: (f32, f32) = (1e-3, 1e-5);

/// How a case ended: `passed` (and with which inputs as constants) or `refused: ` with the importer's
/// reason; `Err` with what is wrong.
pub fn outcome(case: &Case) -> Result<String, String> {
    let refused = |errors: ImportErrors| Ok(format!("refused: {}", errors.to_string().replace('\n', "; ")));
    let Ok(inputs) = &case.inputs else {
        // An input this project has no type for: the model itself must be refused too.
        let imported = import(&case.bytes, &ImportOptions::default());
        return imported.map_or_else(refused, |_| Err("imported".into()));
    };
    let (mut network, passed) = match import_case(case, inputs) {
        Ok((import, _)) if import.network.inputs.is_empty() => (import.network, ", folded on import"),
        Ok((import, reading)) => (import.network, reading.suffix()),
        Err(errors) => return refused(errors),
    };
    let expected = case.outputs().map_err(|errors| format!("imported, but its output: {errors}"))?;
    compare(&network, inputs, &expected).map_err(|problem| format!("as imported: {problem}"))?;
    simplify(&mut network);
    compare(&network, inputs, &expected).map_err(|problem| format!("simplified: {problem}"))?;
    Ok(format!("passed{passed}"))
}

/// The first reading that imports, or the last one's refusal.
fn import_case(case: &Case, inputs: &[NamedTensor]) -> Result<(Import, Reading), ImportErrors> {
    let read = |reading| case.import(inputs, reading).map(|import| (import, reading));
    let [first, second, third] = Reading::ALL;
    read(first).or_else(|_| read(second)).or_else(|_| read(third))
}

/// Runs the network on the inputs of these names and compares every output.
fn compare(network: &Network, inputs: &[NamedTensor], expected: &[NamedTensor]) -> Result<(), String> {
    let names = network.inputs.iter().map(|&id| &network.values[id].name);
    let operands: Vec<Tensor> = names.map(|name| named(inputs, name).cloned()).collect::<Result<_, _>>()?;
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
