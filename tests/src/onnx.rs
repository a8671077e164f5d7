//! Writes small ONNX models field by field, sound or not, for tests of what reads them.

/// A protobuf message being written: its bytes so far.
#[derive(Debug, Default, Clone)]
pub struct Proto(pub Vec<u8>);

impl Proto {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// With an integer field.
    pub fn varint(mut self, field: u32, value: i64) -> Self {
        self.raw_varint(u64::from(field) << 3);
        self.raw_varint(value.cast_unsigned());
        self
    }

    /// With a field of bytes.
    pub fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.raw_varint(u64::from(field) << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// With a field of text.
    pub fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// With a field that is a message.
    pub fn message(self, field: u32, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// Element type float32.
pub const FLOAT: i64 = 1;
/// Element type uint8.
pub const UINT8: i64 = 2;
/// Element type int8.
pub const INT8: i64 = 3;
/// Element type string.
pub const STRING: i64 = 8;
/// Element type float64.
pub const DOUBLE: i64 = 11;

/// A tensor with raw data.
pub fn tensor(name: &str, element: i64, dims: &[i64], raw: &[u8]) -> Proto {
    let tensor = dims.iter().fold(Proto::default(), |tensor, &dim| tensor.varint(1, dim));
    tensor.varint(2, element).text(8, name).bytes(9, raw)
}

/// A float tensor.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Proto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, FLOAT, dims, &raw)
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> Proto {
    Proto::default().text(1, name).varint(3, value).varint(20, 2)
}

/// An attribute of integers.
pub fn ints(name: &str, values: &[i64]) -> Proto {
    let attribute = Proto::default().text(1, name).varint(20, 7);
    values.iter().fold(attribute, |attribute, &value| attribute.varint(8, value))
}

/// An attribute that holds an empty graph.
pub fn graph(name: &str) -> Proto {
    Proto::default().text(1, name).message(6, &Proto::default()).varint(20, 5)
}

/// A node named after its operator and first output.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Proto]) -> Proto {
    let name = format!("{op}_{}", outputs.first().unwrap_or(&""));
    let node = inputs.iter().fold(Proto::default(), |node, input| node.text(1, input));
    let node = outputs.iter().fold(node, |node, output| node.text(2, output));
    let node = node.text(3, &name).text(4, op);
    attributes.iter().fold(node, |node, attribute| node.message(5, attribute))
}

/// A graph input; an extent below 0 is left open.
pub fn port(name: &str, element: i64, dims: &[i64]) -> Proto {
    let shape = dims.iter().fold(Proto::default(), |shape, &dim| {
        let open = || Proto::default().text(2, "open");
        shape.message(1, &if dim < 0 { open() } else { Proto::default().varint(1, dim) })
    });
    let tensor_type = Proto::default().varint(1, element).message(2, &shape);
    Proto::default().text(1, name).message(2, &Proto::default().message(1, &tensor_type))
}

/// A model being put together.
#[derive(Debug, Default, Clone)]
pub struct Model(Proto);

impl Model {
    /// With a float input `x`.
    pub fn image(dims: &[i64]) -> Self {
        Self::default().input(port("x", FLOAT, dims))
    }

    /// With one more node.
    pub fn node(self, node: Proto) -> Self {
        Self(self.0.message(1, &node))
    }

    /// With one more constant.
    pub fn initializer(self, tensor: Proto) -> Self {
        Self(self.0.message(5, &tensor))
    }

    /// With one more input.
    pub fn input(self, port: Proto) -> Self {
        Self(self.0.message(11, &port))
    }

    /// With one more output, of no declared shape.
    pub fn output(self, name: &str) -> Self {
        Self(self.0.message(12, &Proto::default().text(1, name)))
    }

    /// The file at an operator set version.
    pub fn bytes(&self, opset: i64) -> Vec<u8> {
        let set = Proto::default().text(1, "").varint(2, opset);
        self.without_operator_set().message(8, &set).0
    }

    /// The file without the field that tells the operator set.
    pub fn without_operator_set(&self) -> Proto {
        Proto::default().varint(1, 8).text(2, "bad_inputs").message(7, &self.0)
    }
}
