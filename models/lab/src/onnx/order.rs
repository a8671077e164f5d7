//! Checks that a graph is wired: every name has one producer, nothing is missing, nothing is circular.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::model::{GraphView, NodeView};
use super::problem::{Fault, Problem, quote};

/// Most nodes of a cycle listed by name.
const CYCLE_NAMES_MAX: usize = 8;

/// The order in which to import nodes, and what is wrong with the wiring.
#[derive(Debug)]
pub(super) struct Order<'a> {
    /// Indices of the nodes the outputs depend on, producers before consumers, in file order where
    /// possible.
    pub nodes: Vec<usize>,
    /// Names that some node or graph output reads.
    pub used: HashSet<&'a str>,
    /// Every wiring problem.
    pub problems: Vec<Problem>,
}

/// Where a value comes from.
#[derive(Clone, Copy)]
enum Producer {
    Outside,
    Node(usize),
}

/// Checks the wiring of `graph` and orders its live nodes (Kahn's algorithm).
pub(super) fn order<'a>(graph: &GraphView<'a>) -> Order<'a> {
    let mut problems = Vec::new();
    let producers = producers(graph, &mut problems);
    let used = used(graph, &producers, &mut problems);
    let sorted = sort(&graph.nodes, &producers, &mut problems);
    let live = live(graph, &producers);
    Order { nodes: sorted.into_iter().filter(|node| live.contains(node)).collect(), used, problems }
}

fn producers<'a>(graph: &GraphView<'a>, problems: &mut Vec<Problem>) -> HashMap<&'a str, Producer> {
    let mut producers = HashMap::new();
    let mut initializers = HashSet::new();
    for name in graph.initializers.iter().map(|tensor| tensor.name).chain(graph.sparse.iter().copied()) {
        if !initializers.insert(name) {
            let fault = Fault::new("two initializers have this name", "give each tensor its own name");
            problems.push(fault.of(name, "initializer"));
        }
        producers.insert(name, Producer::Outside);
    }
    let mut inputs = HashSet::new();
    for input in &graph.inputs {
        if !inputs.insert(input.name) {
            let fault = Fault::new("two graph inputs have this name", "give each input its own name");
            problems.push(fault.of(input.name, "input"));
        }
        producers.insert(input.name, Producer::Outside);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        for &output in node.outputs.iter().filter(|name| !name.is_empty()) {
            if producers.contains_key(output) {
                let what = format!("output '{}' is already produced elsewhere", quote(output));
                problems.push(Fault::new(what, "give each value one producer").of(&node.name, node.op_type));
            } else {
                producers.insert(output, Producer::Node(index));
            }
        }
    }
    producers
}

fn used<'a>(
    graph: &GraphView<'a>,
    producers: &HashMap<&'a str, Producer>,
    problems: &mut Vec<Problem>,
) -> HashSet<&'a str> {
    let mut used = HashSet::new();
    for node in &graph.nodes {
        for &input in node.inputs.iter().filter(|name| !name.is_empty()) {
            if used.insert(input) && !producers.contains_key(input) {
                let what = format!("input '{}' is produced by nothing", quote(input));
                let fix = "export the model again; a node, input or initializer is missing";
                problems.push(Fault::new(what, fix).of(&node.name, node.op_type));
            }
        }
    }
    for output in &graph.outputs {
        used.insert(output.name);
        if !producers.contains_key(output.name) {
            let fault = Fault::new("nothing produces this graph output", "export the model again");
            problems.push(fault.of(output.name, "output"));
        }
    }
    used
}

/// Indices of the nodes that produce what `node` reads, each once.
fn dependencies(node: &NodeView<'_>, producers: &HashMap<&str, Producer>) -> BTreeSet<usize> {
    let producer = |name: &&str| match producers.get(*name) {
        Some(Producer::Node(index)) => Some(*index),
        _ => None,
    };
    node.inputs.iter().filter_map(producer).collect()
}

fn sort(
    nodes: &[NodeView<'_>],
    producers: &HashMap<&str, Producer>,
    problems: &mut Vec<Problem>,
) -> Vec<usize> {
    let mut consumers = vec![Vec::new(); nodes.len()];
    let mut waiting_for = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let dependencies = dependencies(node, producers);
        for &dependency in &dependencies {
            consumers[dependency].push(index);
        }
        waiting_for.push(dependencies.len());
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|&index| waiting_for[index] == 0).collect();
    let mut sorted = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_first() {
        sorted.push(index);
        for &consumer in &consumers[index] {
            waiting_for[consumer] -= 1;
            if waiting_for[consumer] == 0 {
                ready.insert(consumer);
            }
        }
    }
    if sorted.len() < nodes.len() {
        let circular: BTreeSet<usize> = (0..nodes.len()).filter(|&index| waiting_for[index] > 0).collect();
        problems.push(cycle(nodes, producers, circular));
    }
    sorted
}

/// Names the nodes of a cycle: what is left once nodes merely downstream of it are taken away.
fn cycle(
    nodes: &[NodeView<'_>],
    producers: &HashMap<&str, Producer>,
    mut circular: BTreeSet<usize>,
) -> Problem {
    let mut consumers: HashMap<usize, usize> = HashMap::new();
    for &index in &circular {
        for dependency in dependencies(&nodes[index], producers) {
            *consumers.entry(dependency).or_default() += 1;
        }
    }
    let mut leaves: Vec<usize> =
        circular.iter().copied().filter(|index| !consumers.contains_key(index)).collect();
    while let Some(leaf) = leaves.pop() {
        circular.remove(&leaf);
        for dependency in dependencies(&nodes[leaf], producers) {
            if let Some(count) = consumers.get_mut(&dependency) {
                *count -= 1;
                if *count == 0 && circular.contains(&dependency) {
                    leaves.push(dependency);
                }
            }
        }
    }
    let names: Vec<String> = circular
        .iter()
        .take(CYCLE_NAMES_MAX)
        .map(|&index| format!("'{}'", quote(&nodes[index].name)))
        .collect();
    let more = if circular.len() > CYCLE_NAMES_MAX { ", …" } else { "" };
    let first = circular.first().map_or(&nodes[0], |&index| &nodes[index]);
    let what = format!("the graph is circular through {}{more}", names.join(", "));
    Fault::new(what, "a network must be a directed acyclic graph; export it again")
        .of(&first.name, first.op_type)
}

/// Nodes some graph output depends on.
fn live(graph: &GraphView<'_>, producers: &HashMap<&str, Producer>) -> HashSet<usize> {
    let mut live = HashSet::new();
    let mut open: Vec<&str> = graph.outputs.iter().map(|output| output.name).collect();
    while let Some(name) = open.pop() {
        if let Some(&Producer::Node(index)) = producers.get(name)
            && live.insert(index)
        {
            open.extend(graph.nodes[index].inputs.iter().copied());
        }
    }
    live
}
