//! One operator application being imported: typed access to attributes and inputs, emission of typed nodes.

use super::element::Element;
use super::fold;
use super::importer::{Importer, checked_count};
use super::model::{AttributeValue, AttributeView, NodeView, TensorView};
use super::problem::{Fault, quote, short};
use super::tensor::convert;
use crate::network::{Data, Node, Op, Tensor, ValueId};

/// A node of the file on its way into the network.
pub(super) struct Call<'i, 'a> {
    importer: &'i mut Importer<'a>,
    node: &'a NodeView<'a>,
    inputs: Vec<Option<ValueId>>,
    /// Values with this id or a larger one were made by this call.
    first_new: ValueId,
    emitted: usize,
}

impl<'i, 'a> Call<'i, 'a> {
    pub fn new(importer: &'i mut Importer<'a>, node: &'a NodeView<'a>, inputs: Vec<Option<ValueId>>) -> Self {
        let first_new = importer.network.values.len();
        Self { importer, node, inputs, first_new, emitted: 0 }
    }

    /// Operator type.
    pub fn op(&self) -> &'a str {
        self.node.op_type
    }

    /// Operator set version of the file.
    pub fn opset(&self) -> i64 {
        self.importer.opset
    }

    /// The options of this import.
    pub fn options(&self) -> &super::ImportOptions {
        &self.importer.options
    }

    /// Records something the user should know about this node.
    pub fn note(&mut self, text: String) {
        self.importer.note(&self.node.name, text);
    }

    /// Notes that values of `element` are computed as float32.
    pub fn note_precision(&mut self, element: Element) {
        self.importer.note_precision(&self.node.name, element);
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeView<'a>> {
        self.node.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// True when the attribute is present.
    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// An integer attribute, if present.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Fault> {
        match self.attribute(name).map(|attribute| &attribute.value) {
            None => Ok(None),
            Some(AttributeValue::Int(value)) => Ok(Some(*value)),
            Some(other) => Err(kind_fault(name, "an integer", other)),
        }
    }

    /// A 0/1 attribute, false if absent.
    pub fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.int(name)?.unwrap_or(0) {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(Fault::at(name, format!("{value} is neither 0 nor 1"), "export the model again")),
        }
    }

    /// A finite float attribute, if present.
    pub fn float(&self, name: &str) -> Result<Option<f32>, Fault> {
        match self.attribute(name).map(|attribute| &attribute.value) {
            None => Ok(None),
            Some(AttributeValue::Float(value)) if value.is_finite() => Ok(Some(*value)),
            Some(AttributeValue::Float(value)) => {
                Err(Fault::at(name, format!("{value} is not a finite number"), "export a trained network"))
            }
            Some(other) => Err(kind_fault(name, "a float", other)),
        }
    }

    /// A list-of-integers attribute, if present.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, Fault> {
        match self.attribute(name).map(|attribute| &attribute.value) {
            None => Ok(None),
            Some(AttributeValue::Ints(values)) => Ok(Some(values)),
            Some(other) => Err(kind_fault(name, "a list of integers", other)),
        }
    }

    /// A list-of-floats attribute, if present.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, Fault> {
        match self.attribute(name).map(|attribute| &attribute.value) {
            None => Ok(None),
            Some(AttributeValue::Floats(values)) => Ok(Some(values)),
            Some(other) => Err(kind_fault(name, "a list of floats", other)),
        }
    }

    /// A text attribute, or `default`.
    pub fn text(&self, name: &str, default: &'static str) -> Result<&'a str, Fault> {
        match self.attribute(name).map(|attribute| &attribute.value) {
            None => Ok(default),
            Some(AttributeValue::Text(text)) => Ok(text.text()?),
            Some(other) => Err(kind_fault(name, "text", other)),
        }
    }

    /// A tensor attribute, converted.
    pub fn tensor(&mut self, name: &str) -> Result<Option<(Element, Tensor)>, Fault> {
        match self.attribute(name).map(|attribute| &attribute.value) {
            None => Ok(None),
            Some(AttributeValue::Tensor(message)) => {
                let (element, tensor) = convert(&TensorView::parse(*message)?)?;
                Ok(Some((element, tensor)))
            }
            Some(other) => Err(kind_fault(name, "a tensor", other)),
        }
    }

    /// Number of inputs, absent optional ones included.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Number of outputs the node names.
    pub fn output_count(&self) -> usize {
        self.node.outputs.len()
    }

    /// True when some node or graph output reads output `index`.
    pub fn output_used(&self, index: usize) -> bool {
        self.node.outputs.get(index).is_some_and(|name| self.importer.used.contains(name))
    }

    /// Input `index`, if present.
    pub fn optional(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// Input `index`.
    pub fn input(&self, index: usize) -> Result<ValueId, Fault> {
        self.optional(index)
            .ok_or_else(|| Fault::new(format!("required input {index} is absent"), "export the model again"))
    }

    /// Shape of a value.
    pub fn shape(&self, id: ValueId) -> Vec<usize> {
        self.importer.network.values.get(id).map(|value| value.shape.clone()).unwrap_or_default()
    }

    /// Element type of a value.
    pub fn element(&self, id: ValueId) -> Element {
        self.importer.elements.get(id).copied().unwrap_or(Element::F32)
    }

    /// The constant a value is, if it is one.
    pub fn constant_of(&self, id: ValueId) -> Option<&Tensor> {
        self.importer.network.values.get(id)?.constant.as_ref()
    }

    /// The constant input `index`, called `name` in messages; `None` when the input is absent.
    pub fn constant_input(&self, index: usize, name: &str) -> Result<Option<&Tensor>, Fault> {
        let Some(id) = self.optional(index) else { return Ok(None) };
        match self.constant_of(id) {
            Some(tensor) => Ok(Some(tensor)),
            None => Err(Fault::at(
                name,
                "the input depends on the data, or on a shape that is not static",
                "export with static shapes so that it is a constant",
            )),
        }
    }

    /// The integers of constant input `index`; `None` when the input is absent.
    pub fn constant_ints(&self, index: usize, name: &str) -> Result<Option<Vec<i64>>, Fault> {
        match self.constant_input(index, name)?.map(|tensor| &tensor.data) {
            None => Ok(None),
            Some(Data::I64(values)) => Ok(Some(values.clone())),
            Some(_) => Err(Fault::at(name, "the input does not hold int64", "export the model again")),
        }
    }

    /// The floats of constant input `index`; `None` when the input is absent.
    pub fn constant_floats(&self, index: usize, name: &str) -> Result<Option<Vec<f32>>, Fault> {
        match self.constant_input(index, name)?.map(|tensor| &tensor.data) {
            None => Ok(None),
            Some(Data::F32(values)) => Ok(Some(values.clone())),
            Some(_) => Err(Fault::at(name, "the input does not hold floats", "export the model again")),
        }
    }

    /// Adds a constant made by the importer.
    pub fn constant(&mut self, tensor: Tensor, element: Element) -> Result<ValueId, Fault> {
        self.importer.fold_bytes_left = self.afford(checked_count(&tensor.shape)?, element)?;
        let name = format!("{}:constant{}", short(&self.node.name), self.importer.network.values.len());
        Ok(self.importer.add(name, tensor.shape.clone(), element, Some(tensor)))
    }

    /// Adds a float constant of one element.
    pub fn scalar(&mut self, value: f32) -> Result<ValueId, Fault> {
        self.constant(Tensor::f32(Vec::new(), vec![value]), Element::F32)
    }

    /// Bytes left of the budget of folded constants with `count` more elements; asked before they are made.
    ///
    /// # Errors
    /// When the budget does not allow them.
    pub fn afford(&self, count: usize, element: Element) -> Result<usize, Fault> {
        let bytes = count.checked_mul(element.held_size());
        bytes.and_then(|bytes| self.importer.fold_bytes_left.checked_sub(bytes)).ok_or_else(|| {
            Fault::new(
                format!("folding its {count} constant elements would far exceed the size of the file"),
                "export with constants folded, or without computed constants of this size",
            )
        })
    }

    /// Adds a node, or its result when every input is a constant it can be folded from.
    pub fn emit(&mut self, op: Op, inputs: &[ValueId], shape: Vec<usize>) -> Result<ValueId, Fault> {
        let count = checked_count(&shape)?;
        let element = self.result_element(&op, inputs)?;
        if let Some(id) = self.fold(&op, inputs, &shape, count, element)? {
            return Ok(id);
        }
        self.check_runtime(&op, inputs, &shape)?;
        let suffix = |base: &str| match self.emitted {
            0 => base.to_owned(),
            part => format!("{}:{part}", short(base)),
        };
        let name = suffix(&self.node.name);
        let output_name = suffix(self.node.outputs.first().unwrap_or(&""));
        self.emitted += 1;
        let output = self.importer.add(output_name, shape, element, None);
        self.importer.network.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        Ok(output)
    }

    fn fold(
        &mut self,
        op: &Op,
        inputs: &[ValueId],
        shape: &[usize],
        count: usize,
        element: Element,
    ) -> Result<Option<ValueId>, Fault> {
        let constants: Option<Vec<&Tensor>> = inputs
            .iter()
            .map(|&id| self.importer.network.values.get(id).and_then(|value| value.constant.as_ref()))
            .collect();
        let Some(constants) = constants else { return Ok(None) };
        if !fold::can_fold(op, &constants) {
            return Ok(None);
        }
        self.afford(count, element)?;
        let data = fold::fold(op, &constants, shape)?;
        let data = match data {
            Data::I64(values) if element.range().is_some() => element.integers(values).ok_or_else(|| {
                Fault::new(
                    format!("a folded value does not fit {}", element.name()),
                    "export the model again",
                )
            })?,
            data => data,
        };
        Ok(Some(self.constant(Tensor { shape: shape.to_vec(), data }, element)?))
    }

    /// The element type `op` makes of its inputs.
    fn result_element(&self, op: &Op, inputs: &[ValueId]) -> Result<Element, Fault> {
        let element_of = |index: usize| inputs.get(index).map_or(Element::F32, |&id| self.element(id));
        let first = element_of(0);
        match op {
            Op::Quantize { .. } => Ok(element_of(2)),
            Op::Dequantize { .. } => Ok(Element::F32),
            Op::ArgMax { .. } => Ok(Element::I64),
            Op::Concat { .. } | Op::Binary(_) => {
                let float = first.is_float();
                let other = inputs
                    .iter()
                    .map(|&id| self.element(id))
                    .find(|&element| element != first && !(float && element.is_float()));
                match other {
                    None => Ok(first),
                    Some(other) => Err(Fault::new(
                        format!("its inputs mix {} and {}", first.name(), other.name()),
                        "export the model again",
                    )),
                }
            }
            _ => Ok(first),
        }
    }

    /// Checks what holds for every node that runs: element types, finite constants, no empty value.
    fn check_runtime(&self, op: &Op, inputs: &[ValueId], shape: &[usize]) -> Result<(), Fault> {
        for (index, &id) in inputs.iter().enumerate() {
            let element = self.element(id);
            let allowed = match op {
                Op::Reshape | Op::Transpose { .. } | Op::Slice { .. } | Op::Expand | Op::Concat { .. } => {
                    true
                }
                Op::Gather { .. } | Op::Dequantize { .. } => true,
                Op::Quantize { .. } => index > 0 || element.is_float(),
                Op::MaxPool { .. } => element.is_float() || element.is_quantized(),
                _ => element.is_float(),
            };
            if !allowed {
                return Err(Fault::new(
                    format!("it computes on {} data at run time", element.name()),
                    "export a network that computes on floats",
                ));
            }
            if !self.importer.finite.get(id).copied().unwrap_or(true) {
                let name = self.importer.network.values.get(id).map_or("", |value| &value.name);
                let what = format!("constant '{}' holds NaN or infinite elements", quote(name));
                return Err(Fault::new(what, "export a trained network with finite weights"));
            }
        }
        let empty = |shape: &[usize]| shape.contains(&0);
        if empty(shape) || inputs.iter().any(|&id| empty(&self.shape(id))) {
            return Err(Fault::new("it reads or makes a value of extent 0", "export with positive extents"));
        }
        Ok(())
    }

    /// Makes value `id` output `index` of the node; a value made by this call takes the output's name.
    pub fn bind(&mut self, index: usize, id: ValueId) -> Result<(), Fault> {
        let Some(&name) = self.node.outputs.get(index).filter(|name| !name.is_empty()) else {
            return match index {
                0 => Err(Fault::new("the node has no output", "export the model again")),
                _ => Ok(()),
            };
        };
        if id >= self.first_new
            && let Some(value) = self.importer.network.values.get_mut(id)
        {
            value.name = name.to_owned();
        }
        self.importer.bind(name, id);
        Ok(())
    }

    /// Emits the node's last operator and makes its value the node's output.
    pub fn finish(&mut self, op: Op, inputs: &[ValueId], shape: Vec<usize>) -> Result<(), Fault> {
        let id = self.emit(op, inputs, shape)?;
        self.bind(0, id)
    }
}

fn kind_fault(name: &str, wanted: &str, value: &AttributeValue<'_>) -> Fault {
    let found = match value {
        AttributeValue::Float(_) => "a float",
        AttributeValue::Int(_) => "an integer",
        AttributeValue::Text(_) => "text",
        AttributeValue::Tensor(_) => "a tensor",
        AttributeValue::Floats(_) => "a list of floats",
        AttributeValue::Ints(_) => "a list of integers",
        AttributeValue::Graph => "a graph",
        AttributeValue::Other(kind) => kind,
    };
    Fault::at(name, format!("the attribute is {found}, not {wanted}"), "export the model again")
}
