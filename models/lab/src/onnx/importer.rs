//! The state of one import and its driver: one forward pass that types, shapes and folds every live node.

use std::collections::{HashMap, HashSet};

use super::call::Call;
use super::catalog::{self, OPSET_MAX, OPSET_MIN};
use super::element::Element;
use super::model::{AttributeValue, Dim, GraphView, ModelView, NodeView, RANK_MAX, ValueInfoView};
use super::order::order;
use super::problem::{Fault, ImportErrors, PROBLEMS_MAX, Problem, quote, short};
use super::simplify::prune;
use super::tensor::convert;
use super::{Import, ImportOptions, Note};
use crate::network::{Data, Network, Tensor, Value, ValueId};

/// First and last IR version understood.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;
/// Most elements of one value of a network.
pub(super) const ELEMENTS_MAX: usize = 1 << 31;
/// Bytes that folded constants may take on top of a multiple of the file's size.
const FOLD_BYTES_BASE: usize = 16 << 20;
/// How many times the file's size folded constants may take.
const FOLD_BYTES_PER_FILE_BYTE: usize = 3;

/// What is known of a name.
#[derive(Debug, Clone, Copy)]
enum Slot<'a> {
    Known(ValueId),
    /// An initializer not yet converted.
    Stored(usize),
    /// Its producer was refused: nothing that depends on it is reported.
    Unknown,
    /// An output whose producer leaves it out.
    Missing(&'a str),
}

/// What importing one node needs and produces.
pub(super) struct Importer<'a> {
    pub network: Network,
    /// Element type of each value.
    pub elements: Vec<Element>,
    /// For each value: not a float constant with a NaN or an infinity.
    pub finite: Vec<bool>,
    pub opset: i64,
    pub options: ImportOptions,
    pub notes: Vec<Note>,
    /// Names read by some node or graph output.
    pub used: HashSet<&'a str>,
    /// Bytes still allowed for folded constants.
    pub fold_bytes_left: usize,
    graph: &'a GraphView<'a>,
    functions: &'a [(&'a str, &'a str)],
    names: HashMap<&'a str, Slot<'a>>,
    problems: Vec<Problem>,
}

/// Imports a model; see [`super::import`].
pub(super) fn import(bytes: &[u8], options: &ImportOptions) -> Result<Import, ImportErrors> {
    let model = ModelView::parse(bytes)?;
    let opset = header(&model)?;
    let empty = GraphView::default();
    let graph = model.graph.as_ref().unwrap_or(&empty);
    let order = order(graph);
    let mut importer = Importer {
        network: Network { name: graph.name.to_owned(), ..Network::default() },
        elements: Vec::new(),
        finite: Vec::new(),
        opset,
        options: options.clone(),
        notes: Vec::new(),
        used: order.used,
        fold_bytes_left: bytes.len().saturating_mul(FOLD_BYTES_PER_FILE_BYTE).saturating_add(FOLD_BYTES_BASE),
        graph,
        functions: &model.functions,
        names: HashMap::new(),
        problems: order.problems,
    };
    importer.declare();
    for index in order.nodes {
        importer.node(&graph.nodes[index]);
    }
    importer.finish();
    if !importer.problems.is_empty() {
        return Err(ImportErrors(importer.problems));
    }
    prune(&mut importer.network);
    let producer = format!("{} {}", model.producer_name, model.producer_version).trim().to_owned();
    Ok(Import { network: importer.network, opset, producer, notes: importer.notes })
}

/// Checks IR and operator set versions; the version of the default domain.
fn header(model: &ModelView<'_>) -> Result<i64, ImportErrors> {
    let mut faults = Vec::new();
    if model.graph.is_none() {
        faults.push(Fault::new("the file holds no graph", "give an ONNX model file"));
    }
    if !IR_VERSIONS.contains(&model.ir_version) {
        let what = format!("IR version {} is not understood", model.ir_version);
        faults.push(Fault::at("ir_version", what, "export with a converter that writes IR version 3 to 13"));
    }
    let versions: Vec<i64> = model
        .opsets
        .iter()
        .filter(|(domain, _)| domain.is_empty() || *domain == "ai.onnx")
        .map(|&(_, version)| version)
        .collect();
    let opset = versions.first().copied().unwrap_or_default();
    if versions.is_empty() {
        faults.push(Fault::at(
            "opset_import",
            "the file names no ONNX operator set",
            "export the model again",
        ));
    } else if versions.iter().any(|&version| version != opset) {
        let fault =
            Fault::at("opset_import", "two ONNX operator sets are imported", "export with one of them");
        faults.push(fault);
    } else if !(OPSET_MIN..=OPSET_MAX).contains(&opset) {
        let what = format!("operator set {opset} is not understood");
        faults.push(Fault::at("opset_import", what, "export with operator set 17 or 18 (7 to 26 are read)"));
    }
    if faults.is_empty() {
        return Ok(opset);
    }
    Err(ImportErrors(faults.into_iter().map(|fault| fault.of("", "model")).collect()))
}

impl<'a> Importer<'a> {
    pub(super) fn report(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Adds a value and returns its id.
    pub(super) fn add(
        &mut self,
        name: String,
        shape: Vec<usize>,
        element: Element,
        constant: Option<Tensor>,
    ) -> ValueId {
        let finite = match constant.as_ref().map(|tensor| &tensor.data) {
            Some(Data::F32(values)) => values.iter().all(|value| value.is_finite()),
            _ => true,
        };
        self.elements.push(element);
        self.finite.push(finite);
        self.network.values.push(Value { name, shape, constant });
        self.network.values.len() - 1
    }

    /// Says that `name` is the value `id`.
    pub(super) fn bind(&mut self, name: &'a str, id: ValueId) {
        self.names.insert(name, Slot::Known(id));
    }

    /// Declares initializers, then graph inputs.
    fn declare(&mut self) {
        let graph = self.graph;
        for (index, tensor) in graph.initializers.iter().enumerate() {
            self.names.insert(tensor.name, Slot::Stored(index));
        }
        for &name in &graph.sparse {
            if self.used.contains(name) {
                let fault = Fault::new("sparse tensors are not supported", "store the tensor densely");
                self.report(fault.of(name, "initializer"));
            }
            self.names.insert(name, Slot::Unknown);
        }
        for input in &graph.inputs {
            if self.names.contains_key(input.name) {
                continue;
            }
            let slot = match self.input(input) {
                Ok(id) => Slot::Known(id),
                Err(fault) => {
                    self.report(fault.of(input.name, "input"));
                    Slot::Unknown
                }
            };
            self.names.insert(input.name, slot);
        }
    }

    fn input(&mut self, input: &ValueInfoView<'a>) -> Result<ValueId, Fault> {
        let code = input.element.ok_or_else(|| {
            Fault::new("the input is not a tensor", "export a model whose inputs are tensors")
        })?;
        let element = Element::from_code(code).map_err(|name| {
            Fault::new(format!("element type {name} is not supported"), "export a model with a float input")
        })?;
        let fixed = self.options.fixed_inputs.iter().find(|(name, _)| name == input.name);
        if let Some((_, tensor)) = fixed {
            let tensor = tensor.clone();
            if !element.holds(&tensor.data) || checked_count(&tensor.shape)? != held_count(&tensor.data) {
                let what = format!("the fixed value is no {} tensor", element.name());
                return Err(Fault::new(what, "give a tensor of the input's type"));
            }
            return Ok(self.add(input.name.to_owned(), tensor.shape.clone(), element, Some(tensor)));
        }
        let shape = input_shape(input.dims.as_deref(), &self.options)?;
        if matches!(element, Element::F64 | Element::F16 | Element::BF16) {
            self.note_precision(input.name, element);
        }
        let id = self.add(input.name.to_owned(), shape, element, None);
        self.network.inputs.push(id);
        Ok(id)
    }

    /// Records something the user should know.
    pub(super) fn note(&mut self, node: &str, text: String) {
        if self.notes.len() < PROBLEMS_MAX {
            self.notes.push(Note { node: short(node).to_owned(), text });
        }
    }

    /// Notes, once per type, that a float type is computed as float32.
    pub(super) fn note_precision(&mut self, node: &str, element: Element) {
        let text = format!("{} values are computed as float32", element.name());
        if self.notes.iter().all(|note| note.text != text) {
            self.note(node, text);
        }
    }

    /// The value called `name`; `None` when its producer was refused.
    fn resolve(&mut self, name: &'a str) -> Result<Option<ValueId>, Fault> {
        match self.names.get(name).copied() {
            Some(Slot::Known(id)) => Ok(Some(id)),
            Some(Slot::Stored(index)) => Ok(self.initializer(index)),
            Some(Slot::Missing(producer)) => Err(Fault::new(
                format!("it reads '{}', an optional output of {producer} that is not supported", quote(name)),
                "export the model without uses of that output",
            )),
            Some(Slot::Unknown) | None => Ok(None),
        }
    }

    fn initializer(&mut self, index: usize) -> Option<ValueId> {
        let view = self.graph.initializers.get(index)?;
        match convert(view) {
            Ok((element, tensor)) => {
                let id = self.add(view.name.to_owned(), tensor.shape.clone(), element, Some(tensor));
                self.bind(view.name, id);
                Some(id)
            }
            Err(fault) => {
                self.report(fault.of(view.name, "initializer"));
                self.names.insert(view.name, Slot::Unknown);
                None
            }
        }
    }

    /// Imports one node; problems are recorded and its outputs become unknown.
    fn node(&mut self, node: &'a NodeView<'a>) {
        for &output in node.outputs.iter().filter(|name| !name.is_empty()) {
            self.names.insert(output, Slot::Unknown);
        }
        if let Err(faults) = self.try_node(node) {
            for fault in faults {
                self.report(fault.of(&node.name, node.op_type));
            }
        }
    }

    fn try_node(&mut self, node: &'a NodeView<'a>) -> Result<(), Vec<Fault>> {
        check_domain(node, self.functions).map_err(|fault| vec![fault])?;
        if let Some(attribute) =
            node.attributes.iter().find(|attribute| matches!(attribute.value, AttributeValue::Graph))
        {
            let fix = "export with static shapes so that no control flow is left";
            return Err(vec![Fault::at(attribute.name, "the node holds a subgraph, which is not read", fix)]);
        }
        let entry = catalog::find(node.op_type, self.opset).map_err(|fault| vec![fault])?;
        let mut faults = check_attributes(node, entry.attributes);
        if !(entry.inputs.0..=entry.inputs.1).contains(&node.inputs.len()) {
            let what = format!("{} inputs are not what the operator takes", node.inputs.len());
            faults.push(Fault::new(what, "export the model again"));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        let mut unknown = false;
        for &name in &node.inputs {
            if name.is_empty() {
                inputs.push(None);
                continue;
            }
            let id = self.resolve(name).map_err(|fault| vec![fault])?;
            unknown |= id.is_none();
            inputs.push(id);
        }
        if unknown {
            return Ok(());
        }
        let outputs = node.outputs.iter().copied();
        let mut call = Call::new(self, node, inputs);
        (entry.build)(&mut call).map_err(|fault| vec![fault])?;
        for output in outputs.skip(1).filter(|name| !name.is_empty()) {
            if let Some(Slot::Unknown) = self.names.get(output) {
                self.names.insert(output, Slot::Missing(node.op_type));
            }
        }
        Ok(())
    }

    /// Resolves the graph outputs and checks the shapes the file declares for them.
    fn finish(&mut self) {
        let graph = self.graph;
        if graph.outputs.is_empty() {
            let fault = Fault::new("the graph has no output", "export a model with an output");
            self.report(fault.of("", "model"));
        }
        for output in &graph.outputs {
            match self.resolve(output.name) {
                Ok(Some(id)) => self.output(output, id),
                Ok(None) if self.problems.is_empty() => {
                    let fault = Fault::new("nothing computes this graph output", "export the model again");
                    self.report(fault.of(output.name, "output"));
                }
                Ok(None) => {}
                Err(fault) => self.report(fault.of(output.name, "output")),
            }
        }
    }

    fn output(&mut self, output: &ValueInfoView<'a>, id: ValueId) {
        let rename = !self.network.inputs.contains(&id) && !self.network.outputs.contains(&id);
        if rename && let Some(value) = self.network.values.get_mut(id) {
            value.name = output.name.to_owned();
        }
        self.network.outputs.push(id);
        let Some((dims, value)) = output.dims.as_ref().zip(self.network.values.get(id)) else { return };
        let agrees = dims.len() == value.shape.len()
            && dims.iter().zip(&value.shape).all(|(dim, &extent)| match dim {
                Dim::Fixed(declared) => *declared < 0 || usize::try_from(*declared) == Ok(extent),
                Dim::Named(_) | Dim::Unknown => true,
            });
        if !agrees {
            let text = format!("the file declares this output as {dims:?}; it is {:?}", value.shape);
            self.note(output.name, text);
        }
    }
}

fn check_domain(node: &NodeView<'_>, functions: &[(&str, &str)]) -> Result<(), Fault> {
    if functions.contains(&(node.domain, node.op_type)) {
        let what = "the operator is a function defined in the file, which is not read";
        return Err(Fault::new(what, "inline the model's local functions before the import"));
    }
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        let what = format!("operator domain '{}' is not supported", quote(node.domain));
        return Err(Fault::new(what, "export with operators of the ONNX domain only"));
    }
    Ok(())
}

fn check_attributes(node: &NodeView<'_>, known: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for attribute in &node.attributes {
        if !seen.insert(attribute.name) {
            faults.push(Fault::at(attribute.name, "the attribute is given twice", "export the model again"));
        } else if !known.contains(&attribute.name) {
            let what = "the attribute is not understood at this operator set";
            faults.push(Fault::at(attribute.name, what, "export with operator set 17 or 18"));
        }
    }
    faults
}

/// The static shape of a graph input: symbolic batch is 1, symbolic height and width come from the options.
fn input_shape(dims: Option<&[Dim<'_>]>, options: &ImportOptions) -> Result<Vec<usize>, Fault> {
    let dims =
        dims.ok_or_else(|| Fault::new("the input has no shape", "export with a static input shape"))?;
    let image = dims.len() == 4;
    let mut shape = Vec::with_capacity(dims.len().min(RANK_MAX));
    for (axis, dim) in dims.iter().enumerate() {
        let wanted = options.input_size.filter(|_| image && axis >= 2).map(|size| size[axis - 2]);
        let extent = match *dim {
            Dim::Fixed(extent) if extent >= 0 => {
                let extent = usize::try_from(extent).unwrap_or(0);
                if wanted.is_some_and(|wanted| wanted != extent) {
                    let what = format!("the file fixes axis {axis} at {extent}, another size was asked for");
                    return Err(Fault::new(
                        what,
                        "leave the size out, or export with dynamic height and width",
                    ));
                }
                extent
            }
            _ if axis == 0 => 1,
            _ => wanted.ok_or_else(|| dynamic(axis, *dim, image))?,
        };
        if extent == 0 {
            return Err(Fault::new(format!("axis {axis} has extent 0"), "export with a positive extent"));
        }
        shape.push(extent);
    }
    if options.require_batch_one && shape.first().is_some_and(|&batch| batch != 1) {
        return Err(Fault::new(format!("the batch is fixed at {}", shape[0]), "export with batch 1"));
    }
    checked_count(&shape)?;
    Ok(shape)
}

fn dynamic(axis: usize, dim: Dim<'_>, image: bool) -> Fault {
    let name = match dim {
        Dim::Named(name) => format!(" ('{}')", quote(name)),
        _ => String::new(),
    };
    let fix = match image && axis >= 2 {
        true => "give the input height and width, such as --input-size 256x256",
        false => "export with this axis fixed",
    };
    Fault::new(format!("axis {axis}{name} has no fixed extent"), fix)
}

fn held_count(data: &Data) -> usize {
    match data {
        Data::F32(values) => values.len(),
        Data::I64(values) => values.len(),
        Data::I8(values) => values.len(),
        Data::U8(values) => values.len(),
        Data::Bool(values) => values.len(),
    }
}

/// Number of elements of a value, when the network can hold it.
///
/// Extents of 0 count as 1 for the bound, so that no product of some of the extents can overflow either.
pub(super) fn checked_count(shape: &[usize]) -> Result<usize, Fault> {
    let bound = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent.max(1)));
    match bound {
        Some(count) if count <= ELEMENTS_MAX && shape.len() <= RANK_MAX => {
            Ok(if shape.contains(&0) { 0 } else { count })
        }
        _ => Err(Fault::new(
            format!("a value of shape {shape:?} exceeds {ELEMENTS_MAX} elements or {RANK_MAX} axes"),
            "use a smaller input or network",
        )),
    }
}
