//! The driver: order, liveness, errors; and a repeatable source of test tensors for the operators' own
//! tests.

use super::{ExecuteError, run};
use crate::network::{Binary, Data, Network, Node, Op, Tensor, Unary, Value};

/// xorshift64*, so that a failing case repeats.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }

    /// In `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.next() as usize % (high - low + 1)
    }

    /// Multiples of 1/64 in −2..2, so that short sums are exact.
    pub fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let data = (0..shape.iter().product()).map(|_| (self.next() % 256) as f32 / 64.0 - 2.0).collect();
        Tensor::f32(shape.to_vec(), data)
    }
}

/// Fails unless both tensors are float, of one shape, and within `tolerance` of each other everywhere.
pub(super) fn assert_close(actual: &Tensor, expected: &Tensor, tolerance: f32, case: &str) {
    assert_eq!(actual.shape, expected.shape, "{case}");
    let pairs = actual.as_f32().unwrap().iter().zip(expected.as_f32().unwrap());
    for (index, (actual, expected)) in pairs.enumerate() {
        let close = (actual - expected).abs() <= tolerance || (actual == expected);
        assert!(close, "{case}: element {index} is {actual}, expected {expected}");
    }
}

fn value(name: &str, shape: &[usize], constant: Option<Tensor>) -> Value {
    Value { name: name.into(), shape: shape.to_vec(), constant }
}

/// y = relu(x) + c; z = y + y, outputs z and y.
fn small_network() -> Network {
    let constant = Tensor::f32(vec![1], vec![10.0]);
    Network {
        name: "small".into(),
        values: vec![
            value("x", &[3], None),
            value("c", &[1], Some(constant)),
            value("r", &[3], None),
            value("y", &[3], None),
            value("z", &[3], None),
        ],
        nodes: vec![
            Node { name: "relu".into(), op: Op::Unary(Unary::Relu), inputs: vec![0], output: 2 },
            Node { name: "add".into(), op: Op::Binary(Binary::Add), inputs: vec![2, 1], output: 3 },
            Node { name: "double".into(), op: Op::Binary(Binary::Add), inputs: vec![3, 3], output: 4 },
        ],
        inputs: vec![0],
        outputs: vec![4, 3],
    }
}

fn x() -> Tensor {
    Tensor::f32(vec![3], vec![-1.0, 2.0, 3.0])
}

#[test]
fn observer_sees_inputs_and_every_node_output_in_order() {
    let mut seen = Vec::new();
    let outputs = run(&small_network(), &[x()], &mut |id, tensor| {
        seen.push((id, tensor.as_f32().unwrap().to_vec()));
    });
    let z = Tensor::f32(vec![3], vec![20.0, 24.0, 26.0]);
    let y = Tensor::f32(vec![3], vec![10.0, 12.0, 13.0]);
    assert_eq!(outputs.unwrap(), [z, y]);
    let expected = [
        (0, vec![-1.0, 2.0, 3.0]),
        (2, vec![0.0, 2.0, 3.0]),
        (3, vec![10.0, 12.0, 13.0]),
        (4, vec![20.0, 24.0, 26.0]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_value_read_twice_survives_its_first_consumer() {
    let mut network = small_network();
    network.nodes[2].inputs = vec![3, 2];
    let outputs = run(&network, &[x()], &mut |_, _| {}).unwrap();
    assert_eq!(outputs[0], Tensor::f32(vec![3], vec![10.0, 14.0, 16.0]));
}

#[test]
fn an_input_may_also_be_an_output() {
    let mut network = small_network();
    network.outputs = vec![0, 1, 4];
    let outputs = run(&network, &[x()], &mut |_, _| {}).unwrap();
    assert_eq!(outputs[0], x());
    assert_eq!(outputs[1].as_f32().unwrap(), [10.0]);
}

#[test]
fn every_inconsistency_is_listed_at_once() {
    let mut network = small_network();
    network.values[1].constant = Some(Tensor { shape: vec![1], data: Data::F32(vec![]) });
    network.nodes[0].inputs = vec![99];
    network.nodes[2].output = 77;
    network.values.push(value("huge", &[1 << 40, 1 << 40], None));
    let inputs = [Tensor::f32(vec![2], vec![0.0; 2]), x()];
    let Err(ExecuteError::Inconsistent(problems)) = run(&network, &inputs, &mut |_, _| {}) else {
        panic!("an inconsistent network ran");
    };
    let text = problems.join("\n");
    for part in ["0 elements", "reads value 99", "writes value 77", "output 4", "huge", "2 inputs", "[2]"] {
        assert!(text.contains(part), "{part} is missing from:\n{text}");
    }
}

#[test]
fn a_node_that_reads_ahead_is_refused() {
    let mut network = small_network();
    network.nodes.swap(0, 1);
    assert!(matches!(run(&network, &[x()], &mut |_, _| {}), Err(ExecuteError::Inconsistent(_))));
}

#[test]
fn an_operator_error_names_node_operator_and_shapes() {
    let mut network = small_network();
    network.values[4].shape = vec![4];
    let error = run(&network, &[x()], &mut |_, _| {}).unwrap_err().to_string();
    for part in ["\"double\"", "Add", "[[3], [3]]", "[4]"] {
        assert!(error.contains(part), "{part} is missing from: {error}");
    }
}

#[test]
fn missing_operands_are_an_error_for_every_operator() {
    for op in
        [Op::PRelu, Op::Binary(Binary::Add), Op::MatMul, Op::Gather { axis: 0 }, Op::Quantize { axis: 0 }]
    {
        let mut network = small_network();
        network.nodes[0].op = op.clone();
        assert!(matches!(run(&network, &[x()], &mut |_, _| {}), Err(ExecuteError::Node { .. })), "{op:?}");
        network.nodes[0].inputs.clear();
        assert!(matches!(run(&network, &[x()], &mut |_, _| {}), Err(ExecuteError::Node { .. })), "{op:?}");
    }
}
