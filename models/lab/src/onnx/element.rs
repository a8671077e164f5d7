//! Element types of the file and how each is held in the typed network.

use half::{bf16, f16};

use crate::network::Data;

/// ONNX element type of a value. The network holds floats as f32 and integers wider than 8 bits as i64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64, computed as f32.
    F64,
    /// IEEE 754 binary16, computed as f32.
    F16,
    /// bfloat16, computed as f32.
    BF16,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 8-bit integer.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
    /// Boolean.
    Bool,
}

impl Element {
    /// The element type of a `TensorProto.DataType` code.
    ///
    /// # Errors
    /// The name of the type when the network cannot hold it.
    pub fn from_code(code: i64) -> Result<Self, &'static str> {
        Ok(match code {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            16 => Self::BF16,
            0 => return Err("undefined"),
            8 => return Err("string"),
            14 => return Err("complex64"),
            15 => return Err("complex128"),
            17 => return Err("float8e4m3fn"),
            18 => return Err("float8e4m3fnuz"),
            19 => return Err("float8e5m2"),
            20 => return Err("float8e5m2fnuz"),
            21 => return Err("uint4"),
            22 => return Err("int4"),
            23 => return Err("float4e2m1"),
            24 => return Err("float8e8m0"),
            25 => return Err("uint2"),
            26 => return Err("int2"),
            27 => return Err("float6e2m3"),
            28 => return Err("float6e3m2"),
            _ => return Err("unknown"),
        })
    }

    /// ONNX name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float",
            Self::F64 => "double",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::Bool => "bool",
        }
    }

    /// Bytes per element in `raw_data`.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Bytes per element once held in [`Data`].
    pub fn held_size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F32 | Self::F64 | Self::F16 | Self::BF16 => 4,
            _ => 8,
        }
    }

    /// True for the four floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::BF16)
    }

    /// True for the two types of quantized activations.
    pub fn is_quantized(self) -> bool {
        matches!(self, Self::I8 | Self::U8)
    }

    /// Smallest and largest integer the type holds; `None` for floats and booleans. `uint64` is held as
    /// i64.
    pub fn range(self) -> Option<(i64, i64)> {
        Some(match self {
            Self::I8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
            Self::I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::I64 => (i64::MIN, i64::MAX),
            Self::U8 => (0, i64::from(u8::MAX)),
            Self::U16 => (0, i64::from(u16::MAX)),
            Self::U32 => (0, i64::from(u32::MAX)),
            Self::U64 => (0, i64::MAX),
            Self::F32 | Self::F64 | Self::F16 | Self::BF16 | Self::Bool => return None,
        })
    }

    /// True when `data` is how the network holds elements of this type.
    pub fn holds(self, data: &Data) -> bool {
        match data {
            Data::F32(_) => self.is_float(),
            Data::I8(_) => self == Self::I8,
            Data::U8(_) => self == Self::U8,
            Data::Bool(_) => self == Self::Bool,
            Data::I64(_) => self.range().is_some() && !self.is_quantized(),
        }
    }

    /// `value` rounded to this float type, half to even; unchanged for float and double.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::BF16 => bf16::from_f32(value).to_f32(),
            _ => value,
        }
    }

    /// Integers as this integer type's [`Data`]; `None` when one does not fit or the type is no integer.
    pub fn integers(self, values: Vec<i64>) -> Option<Data> {
        let (low, high) = self.range()?;
        if values.iter().any(|value| !(low..=high).contains(value)) {
            return None;
        }
        Some(match self {
            Self::I8 => Data::I8(values.iter().filter_map(|&value| i8::try_from(value).ok()).collect()),
            Self::U8 => Data::U8(values.iter().filter_map(|&value| u8::try_from(value).ok()).collect()),
            _ => Data::I64(values),
        })
    }
}
