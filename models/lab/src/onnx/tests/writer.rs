//! Writes protobuf messages and small ONNX models, for tests only.

/// A message being written.
#[derive(Default, Clone)]
pub(crate) struct Proto(pub Vec<u8>);

impl Proto {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn varint(mut self, field: u32, value: i64) -> Self {
        self.raw_varint(u64::from(field) << 3);
        self.raw_varint(value.cast_unsigned());
        self
    }

    pub fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.raw_varint(u64::from(field) << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub fn message(self, field: u32, message: &Proto) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.raw_varint(u64::from(field) << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}

/// A tensor with raw data.
pub(crate) fn tensor(name: &str, code: i64, dims: &[i64], raw: &[u8]) -> Proto {
    let tensor = dims.iter().fold(Proto::default(), |tensor, &dim| tensor.varint(1, dim));
    tensor.varint(2, code).text(8, name).bytes(9, raw)
}

/// A float tensor.
pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> Proto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, 1, dims, &raw)
}

/// A one-dimensional int64 tensor.
pub(crate) fn ints(name: &str, values: &[i64]) -> Proto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, 7, &[values.len() as i64], &raw)
}

/// An attribute of a node.
pub(crate) fn int_attribute(name: &str, value: i64) -> Proto {
    Proto::default().text(1, name).varint(3, value).varint(20, 2)
}

pub(crate) fn float_attribute(name: &str, value: f32) -> Proto {
    Proto::default().text(1, name).float(2, value).varint(20, 1)
}

pub(crate) fn text_attribute(name: &str, value: &str) -> Proto {
    Proto::default().text(1, name).text(4, value).varint(20, 3)
}

pub(crate) fn ints_attribute(name: &str, values: &[i64]) -> Proto {
    let attribute = Proto::default().text(1, name).varint(20, 7);
    values.iter().fold(attribute, |attribute, &value| attribute.varint(8, value))
}

pub(crate) fn graph_attribute(name: &str) -> Proto {
    Proto::default().text(1, name).message(6, &Proto::default()).varint(20, 5)
}

/// A node named after its operator and first output.
pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Proto]) -> Proto {
    let name = format!("{op}_{}", outputs.first().unwrap_or(&""));
    let node = inputs.iter().fold(Proto::default(), |node, input| node.text(1, input));
    let node = outputs.iter().fold(node, |node, output| node.text(2, output));
    let node = node.text(3, &name).text(4, op);
    attributes.iter().fold(node, |node, attribute| node.message(5, attribute))
}

/// A graph input or output; a dimension below 0 is symbolic.
pub(crate) fn port(name: &str, code: i64, dims: &[i64]) -> Proto {
    let shape = dims.iter().fold(Proto::default(), |shape, &dim| {
        let dimension = match dim {
            0.. => Proto::default().varint(1, dim),
            _ => Proto::default().text(2, "symbol"),
        };
        shape.message(1, &dimension)
    });
    let tensor_type = Proto::default().varint(1, code).message(2, &shape);
    Proto::default().text(1, name).message(2, &Proto::default().message(1, &tensor_type))
}

/// A model being put together.
#[derive(Default, Clone)]
pub(crate) struct Model {
    graph: Proto,
}

impl Model {
    /// With a float input `x` of the given extents.
    pub fn image(dims: &[i64]) -> Self {
        Self::default().input(port("x", 1, dims))
    }

    pub fn node(self, node: Proto) -> Self {
        Self { graph: self.graph.message(1, &node) }
    }

    pub fn initializer(self, tensor: Proto) -> Self {
        Self { graph: self.graph.message(5, &tensor) }
    }

    pub fn input(self, port: Proto) -> Self {
        Self { graph: self.graph.message(11, &port) }
    }

    /// A graph output without a declared shape.
    pub fn output(self, name: &str) -> Self {
        let port = Proto::default().text(1, name);
        Self { graph: self.graph.message(12, &port) }
    }

    pub fn field(self, field: u32, message: &Proto) -> Self {
        Self { graph: self.graph.message(field, message) }
    }

    /// The file at an operator set version.
    pub fn bytes(&self, opset: i64) -> Vec<u8> {
        self.header(8, opset).0
    }

    /// The file as a message, to add fields to.
    pub fn header(&self, ir_version: i64, opset: i64) -> Proto {
        let set = Proto::default().text(1, "").varint(2, opset);
        Proto::default().varint(1, ir_version).text(2, "writer").message(8, &set).message(7, &self.graph)
    }
}
