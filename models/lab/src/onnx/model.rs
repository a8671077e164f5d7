//! Borrowed views, with bounded counts, of the ONNX messages the importer reads (onnx.proto, IR 3 to 13).
//!
//! Subgraphs are noticed, never entered; tensors keep their bytes in the file until they are converted.

use super::wire::{Field, Message, WireError};

/// Most nodes of a graph.
pub(super) const NODES_MAX: usize = 1 << 15;
/// Most initializers of a graph.
pub(super) const INITIALIZERS_MAX: usize = 1 << 16;
/// Most inputs, and most outputs, of a graph.
pub(super) const PORTS_MAX: usize = 1 << 10;
/// Most inputs and outputs of all nodes together.
pub(super) const EDGES_MAX: usize = 1 << 17;
/// Most attributes of one node.
pub(super) const ATTRIBUTES_MAX: usize = 64;
/// Most entries of a list attribute.
pub(super) const LIST_MAX: usize = 1 << 20;
/// Most dimensions of a tensor, as stated in a file.
pub(super) const RANK_MAX: usize = 8;
/// Most local functions and operator set imports.
const IMPORTS_MAX: usize = 1 << 10;

/// `ModelProto`.
#[derive(Debug, Default)]
pub(super) struct ModelView<'a> {
    pub ir_version: i64,
    pub producer_name: &'a str,
    pub producer_version: &'a str,
    /// (domain, version) pairs.
    pub opsets: Vec<(&'a str, i64)>,
    pub graph: Option<GraphView<'a>>,
    /// (domain, name) of each local function.
    pub functions: Vec<(&'a str, &'a str)>,
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub(super) struct GraphView<'a> {
    pub name: &'a str,
    pub nodes: Vec<NodeView<'a>>,
    pub initializers: Vec<TensorView<'a>>,
    /// Names of sparse initializers.
    pub sparse: Vec<&'a str>,
    pub inputs: Vec<ValueInfoView<'a>>,
    pub outputs: Vec<ValueInfoView<'a>>,
}

/// `NodeProto`.
#[derive(Debug, Default)]
pub(super) struct NodeView<'a> {
    /// Name in the file, or `op_type#index`.
    pub name: String,
    pub op_type: &'a str,
    pub domain: &'a str,
    pub overload: &'a str,
    /// Value names; empty for an absent optional input.
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<AttributeView<'a>>,
}

/// `AttributeProto`.
#[derive(Debug)]
pub(super) struct AttributeView<'a> {
    pub name: &'a str,
    pub value: AttributeValue<'a>,
}

/// Value of an attribute.
#[derive(Debug)]
pub(super) enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Text(Message<'a>),
    Tensor(Message<'a>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    /// One or more subgraphs.
    Graph,
    /// A kind no supported operator uses, by its name.
    Other(&'static str),
}

/// `TensorProto`, still in the file.
#[derive(Debug)]
pub(super) struct TensorView<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub data_type: i64,
    pub raw: Option<&'a [u8]>,
    /// Data kept in another file: its location, as the file states it.
    pub external: Option<&'a str>,
    pub segmented: bool,
    /// The whole message, for the typed data fields.
    pub body: Message<'a>,
}

/// Extent of one dimension of a graph input or output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dim<'a> {
    Fixed(i64),
    Named(&'a str),
    Unknown,
}

/// `ValueInfoProto`.
#[derive(Debug, Default)]
pub(super) struct ValueInfoView<'a> {
    pub name: &'a str,
    /// `TensorProto.DataType` code; `None` when the value is no tensor.
    pub element: Option<i64>,
    /// `None` when the file gives no shape.
    pub dims: Option<Vec<Dim<'a>>>,
}

fn bounded<T>(list: &mut Vec<T>, max: usize, field: &Field<'_>, item: T) -> Result<(), WireError> {
    if list.len() >= max {
        return Err(field.error("more entries than this importer accepts"));
    }
    list.push(item);
    Ok(())
}

impl<'a> ModelView<'a> {
    /// Reads the whole file's structure; tensors are not converted.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut model = Self::default();
        for field in Message::new(bytes).fields() {
            let field = field?;
            match field.number {
                1 => model.ir_version = field.integer()?,
                2 => model.producer_name = field.text()?,
                3 => model.producer_version = field.text()?,
                7 if model.graph.is_some() => return Err(field.error("a second graph")),
                7 => model.graph = Some(GraphView::parse(field.message()?)?),
                8 => bounded(&mut model.opsets, IMPORTS_MAX, &field, named(field.message()?, 1, 2)?)?,
                25 => {
                    let function = function(field.message()?)?;
                    bounded(&mut model.functions, IMPORTS_MAX, &field, function)?;
                }
                _ => {}
            }
        }
        Ok(model)
    }
}

/// Reads a text field and an integer field of a small message (`OperatorSetIdProto`).
fn named(message: Message<'_>, text: u32, integer: u32) -> Result<(&str, i64), WireError> {
    let mut pair = ("", 0);
    for field in message.fields() {
        let field = field?;
        if field.number == text {
            pair.0 = field.text()?;
        } else if field.number == integer {
            pair.1 = field.integer()?;
        }
    }
    Ok(pair)
}

/// Domain and name of a `FunctionProto`.
fn function(message: Message<'_>) -> Result<(&str, &str), WireError> {
    let mut pair = ("", "");
    for field in message.fields() {
        let field = field?;
        match field.number {
            10 => pair.0 = field.text()?,
            1 => pair.1 = field.text()?,
            _ => {}
        }
    }
    Ok(pair)
}

impl<'a> GraphView<'a> {
    fn parse(message: Message<'a>) -> Result<Self, WireError> {
        let mut graph = Self::default();
        let mut edges = 0usize;
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => {
                    let node = NodeView::parse(field.message()?, graph.nodes.len())?;
                    edges = edges.saturating_add(node.inputs.len()).saturating_add(node.outputs.len());
                    if edges > EDGES_MAX {
                        return Err(field.error("more node inputs and outputs than this importer accepts"));
                    }
                    bounded(&mut graph.nodes, NODES_MAX, &field, node)?;
                }
                2 => graph.name = field.text()?,
                5 => {
                    let tensor = TensorView::parse(field.message()?)?;
                    bounded(&mut graph.initializers, INITIALIZERS_MAX, &field, tensor)?;
                }
                11 => bounded(&mut graph.inputs, PORTS_MAX, &field, ValueInfoView::parse(field.message()?)?)?,
                12 => {
                    bounded(&mut graph.outputs, PORTS_MAX, &field, ValueInfoView::parse(field.message()?)?)?
                }
                15 => bounded(&mut graph.sparse, INITIALIZERS_MAX, &field, sparse(field.message()?)?)?,
                _ => {}
            }
        }
        Ok(graph)
    }
}

/// Name of a `SparseTensorProto`: that of its `values` tensor.
fn sparse(message: Message<'_>) -> Result<&str, WireError> {
    let mut name = "";
    for field in message.fields() {
        let field = field?;
        if field.number == 1 {
            name = TensorView::parse(field.message()?)?.name;
        }
    }
    Ok(name)
}

impl<'a> NodeView<'a> {
    fn parse(message: Message<'a>, index: usize) -> Result<Self, WireError> {
        let mut node = Self::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => bounded(&mut node.inputs, EDGES_MAX, &field, field.text()?)?,
                2 => bounded(&mut node.outputs, EDGES_MAX, &field, field.text()?)?,
                3 => node.name = field.text()?.to_owned(),
                4 => node.op_type = field.text()?,
                5 => {
                    let attribute = AttributeView::parse(field.message()?)?;
                    bounded(&mut node.attributes, ATTRIBUTES_MAX, &field, attribute)?;
                }
                7 => node.domain = field.text()?,
                8 => node.overload = field.text()?,
                _ => {}
            }
        }
        if node.name.is_empty() {
            node.name = format!("{}#{index}", node.op_type);
        }
        Ok(node)
    }
}

/// The fields of an `AttributeProto`, before its `type` says which one counts.
#[derive(Default)]
struct AttributeFields<'a> {
    kind: i64,
    float: Option<f32>,
    int: Option<i64>,
    text: Option<Message<'a>>,
    tensor: Option<Message<'a>>,
    graph: bool,
    floats: Vec<f32>,
    ints: Vec<i64>,
    reference: bool,
}

impl<'a> AttributeView<'a> {
    fn parse(message: Message<'a>) -> Result<Self, WireError> {
        let mut name = "";
        let mut fields = AttributeFields::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = field.text()?,
                2 => fields.float = Some(field.float()?),
                3 => fields.int = Some(field.integer()?),
                4 => fields.text = Some(field.message()?),
                5 => fields.tensor = Some(field.message()?),
                6 | 11 => fields.graph = true,
                7 => field.each_fixed32(|bits| fields.floats.push(f32::from_bits(bits)))?,
                8 => field.each_varint(|value| fields.ints.push(value.cast_signed()))?,
                20 => fields.kind = field.integer()?,
                21 => fields.reference = !field.text()?.is_empty(),
                _ => {}
            }
            if fields.ints.len().max(fields.floats.len()) > LIST_MAX {
                return Err(field.error("an attribute list is longer than this importer accepts"));
            }
        }
        Ok(Self { name, value: fields.value() })
    }
}

impl<'a> AttributeFields<'a> {
    /// The value `type` selects; files older than the `type` field are read by which field is present.
    fn value(self) -> AttributeValue<'a> {
        let kind = match self.kind {
            _ if self.graph => 5,
            _ if self.reference => -1,
            0 if self.float.is_some() => 1,
            0 if self.int.is_some() => 2,
            0 if self.text.is_some() => 3,
            0 if self.tensor.is_some() => 4,
            0 if !self.floats.is_empty() => 6,
            0 => 7,
            kind => kind,
        };
        let empty = Message::new(&[]);
        match kind {
            1 => AttributeValue::Float(self.float.unwrap_or(0.0)),
            2 => AttributeValue::Int(self.int.unwrap_or(0)),
            3 => AttributeValue::Text(self.text.unwrap_or(empty)),
            4 => AttributeValue::Tensor(self.tensor.unwrap_or(empty)),
            5 | 10 => AttributeValue::Graph,
            6 => AttributeValue::Floats(self.floats),
            7 => AttributeValue::Ints(self.ints),
            8 => AttributeValue::Other("a list of strings"),
            9 => AttributeValue::Other("a list of tensors"),
            11 | 12 => AttributeValue::Other("a sparse tensor"),
            -1 => AttributeValue::Other("a reference to a function's attribute"),
            _ => AttributeValue::Other("of an unknown kind"),
        }
    }
}

impl<'a> TensorView<'a> {
    /// Reads everything but the elements.
    pub fn parse(body: Message<'a>) -> Result<Self, WireError> {
        let mut tensor = Self {
            name: "",
            dims: Vec::new(),
            data_type: 0,
            raw: None,
            external: None,
            segmented: false,
            body,
        };
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => {
                    let mut count = tensor.dims.len();
                    field.each_varint(|dim| {
                        count += 1;
                        if count <= RANK_MAX {
                            tensor.dims.push(dim.cast_signed());
                        }
                    })?;
                    if count > RANK_MAX {
                        return Err(field.error("a tensor has more than 8 dimensions"));
                    }
                }
                2 => tensor.data_type = field.integer()?,
                3 => tensor.segmented = true,
                8 => tensor.name = field.text()?,
                9 => tensor.raw = Some(field.message()?.bytes()),
                13 => tensor.external = Some(location(field.message()?)?.or(tensor.external).unwrap_or("")),
                14 if field.integer()? != 0 => tensor.external = tensor.external.or(Some("")),
                _ => {}
            }
        }
        Ok(tensor)
    }
}

/// The value of an `external_data` entry whose key is `location`.
fn location(message: Message<'_>) -> Result<Option<&str>, WireError> {
    let (mut key, mut value) = ("", "");
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key == "location").then_some(value))
}

impl<'a> ValueInfoView<'a> {
    fn parse(message: Message<'a>) -> Result<Self, WireError> {
        let mut info = Self::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => info.name = field.text()?,
                2 => {
                    for field in field.message()?.fields() {
                        let field = field?;
                        if field.number == 1 {
                            info.tensor_type(field.message()?)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(info)
    }

    /// `TypeProto.Tensor`.
    fn tensor_type(&mut self, message: Message<'a>) -> Result<(), WireError> {
        self.element = Some(0);
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => self.element = Some(field.integer()?),
                2 => {
                    let mut dims = Vec::new();
                    for field in field.message()?.fields() {
                        let field = field?;
                        if field.number == 1 {
                            bounded(&mut dims, RANK_MAX, &field, dimension(field.message()?)?)?;
                        }
                    }
                    self.dims = Some(dims);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// `TensorShapeProto.Dimension`.
fn dimension(message: Message<'_>) -> Result<Dim<'_>, WireError> {
    let mut dim = Dim::Unknown;
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => dim = Dim::Fixed(field.integer()?),
            2 => dim = Dim::Named(field.text()?),
            _ => {}
        }
    }
    Ok(dim)
}
