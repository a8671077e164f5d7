//! Every element type, stored raw and typed.

use super::read_tensor;
use crate::network::Data;
use crate::onnx::Element;
use crate::onnx::tests::writer::{Proto, tensor};

fn raw(code: i64, count: i64, bytes: &[u8]) -> Result<(Element, Data), String> {
    let read = read_tensor(&tensor("t", code, &[count], bytes).0).map_err(|errors| errors.to_string())?;
    Ok((read.element, read.tensor.data))
}

/// Typed varints in `field`, packed.
fn typed(code: i64, field: u32, values: &[i64]) -> Result<Data, String> {
    let mut packed = Vec::new();
    for &value in values {
        // The varint alone: the writer's field minus its one-byte tag.
        packed.extend_from_slice(&Proto::default().varint(1, value).0[1..]);
    }
    let message = Proto::default().varint(1, values.len() as i64).varint(2, code).bytes(field, &packed);
    read_tensor(&message.0).map(|read| read.tensor.data).map_err(|errors| errors.to_string())
}

#[test]
fn raw_elements_of_every_type_are_read() {
    let little = |value: f64| (value as f32).to_le_bytes();
    assert_eq!(raw(1, 1, &little(1.5)), Ok((Element::F32, Data::F32(vec![1.5]))));
    assert_eq!(raw(11, 1, &0.1f64.to_le_bytes()), Ok((Element::F64, Data::F32(vec![0.1]))));
    assert_eq!(raw(10, 2, &[0x00, 0x3e, 0x01, 0x00]).unwrap().1, Data::F32(vec![1.5, 5.960_464_5e-8]));
    assert_eq!(raw(16, 1, &[0xc0, 0x3f]).unwrap().1, Data::F32(vec![1.5]));
    assert_eq!(raw(3, 2, &[0x80, 0x7f]).unwrap().1, Data::I8(vec![-128, 127]));
    assert_eq!(raw(2, 2, &[0x80, 0x7f]).unwrap().1, Data::U8(vec![128, 127]));
    assert_eq!(raw(5, 1, &[0xff, 0xff]).unwrap().1, Data::I64(vec![-1]));
    assert_eq!(raw(4, 1, &[0xff, 0xff]).unwrap().1, Data::I64(vec![65535]));
    assert_eq!(raw(6, 1, &[0xff; 4]).unwrap().1, Data::I64(vec![-1]));
    assert_eq!(raw(12, 1, &[0xff; 4]).unwrap().1, Data::I64(vec![4_294_967_295]));
    assert_eq!(raw(7, 1, &[0xff; 8]).unwrap().1, Data::I64(vec![-1]));
    assert_eq!(raw(9, 3, &[0, 1, 2]).unwrap().1, Data::Bool(vec![false, true, true]));
    assert!(raw(13, 1, &[0xff; 8]).unwrap_err().contains("does not fit"));
}

#[test]
fn typed_elements_of_every_type_are_read() {
    assert_eq!(typed(6, 5, &[-1, 7]), Ok(Data::I64(vec![-1, 7])));
    assert_eq!(typed(3, 5, &[-128, 7]), Ok(Data::I8(vec![-128, 7])));
    assert_eq!(typed(2, 5, &[255]), Ok(Data::U8(vec![255])));
    assert_eq!(typed(9, 5, &[1, 0]), Ok(Data::Bool(vec![true, false])));
    assert_eq!(typed(10, 5, &[0x3e00]), Ok(Data::F32(vec![1.5])));
    assert_eq!(typed(16, 5, &[0x3fc0]), Ok(Data::F32(vec![1.5])));
    assert_eq!(typed(7, 7, &[i64::MIN]), Ok(Data::I64(vec![i64::MIN])));
    assert_eq!(typed(12, 11, &[4_294_967_295]), Ok(Data::I64(vec![4_294_967_295])));
    assert!(typed(13, 11, &[-1]).unwrap_err().contains("does not fit"));
    assert!(typed(3, 5, &[200]).unwrap_err().contains("does not fit"));
    let floats = Proto::default().varint(1, 2).varint(2, 1).float(4, 1.0).float(4, 2.0);
    assert_eq!(read_tensor(&floats.0).unwrap().tensor.data, Data::F32(vec![1.0, 2.0]));
}

#[test]
fn a_scalar_has_no_extents_and_an_empty_tensor_no_elements() {
    let scalar = read_tensor(&tensor("s", 7, &[], &[3, 0, 0, 0, 0, 0, 0, 0]).0).unwrap().tensor;
    assert_eq!((scalar.shape.len(), scalar.data), (0, Data::I64(vec![3])));
    let empty = read_tensor(&Proto::default().varint(1, 0).varint(2, 7).0).unwrap().tensor;
    assert_eq!((empty.shape, empty.data), (vec![0], Data::I64(vec![])));
}

#[test]
fn too_few_and_too_many_elements_are_refused() {
    for bytes in [&[0u8; 7][..], &[0; 9], &[0; 4], &[0; 12]] {
        assert!(raw(1, 2, bytes).unwrap_err().contains("[dims]: the extents ask for 2 elements"));
    }
    assert!(typed(7, 7, &[1, 2]).is_ok());
    let short = Proto::default().varint(1, 3).varint(2, 7).bytes(7, &[1, 2]);
    assert!(read_tensor(&short.0).is_err());
}

#[test]
fn unsupported_types_and_storage_are_refused_by_name() {
    for (code, name) in
        [(8, "string"), (17, "float8e4m3fn"), (22, "int4"), (14, "complex64"), (99, "unknown")]
    {
        assert!(raw(code, 1, &[0]).unwrap_err().contains(&format!("element type {name} ({code})")));
    }
    let segmented = Proto::default().varint(2, 1).message(3, &Proto::default().varint(1, 0));
    assert!(read_tensor(&segmented.0).unwrap_err().to_string().contains("[segment]"));
}
