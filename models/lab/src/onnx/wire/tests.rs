//! Each wire type, and each way of being cut short.

use super::{Message, Payload};
use crate::onnx::tests::writer::Proto;

fn fields(bytes: &[u8]) -> Result<Vec<(u32, usize)>, (usize, &'static str)> {
    Message::new(bytes)
        .fields()
        .map(|field| {
            field.map(|field| (field.number, field.offset)).map_err(|error| (error.offset, error.what))
        })
        .collect()
}

#[test]
fn the_encoding_guide_examples_are_read() {
    // protobuf.dev, "Encoding": field 1 = 150; field 2 = "testing".
    let mut read = Message::new(&[0x08, 0x96, 0x01]).fields();
    assert!(matches!(read.next().unwrap().unwrap().payload, Payload::Varint(150)));
    assert!(read.next().is_none());
    let bytes = [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
    assert_eq!(Message::new(&bytes).fields().next().unwrap().unwrap().text(), Ok("testing"));
    let packed = [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05];
    let mut values = Vec::new();
    let field = Message::new(&packed).fields().next().unwrap().unwrap();
    field.each_varint(|value| values.push(value)).unwrap();
    assert_eq!((field.number, values), (6, vec![3, 270, 86942]));
}

#[test]
fn negative_integers_take_ten_bytes_and_no_more() {
    let negative = Proto::default().varint(3, -1).0;
    assert_eq!(negative.len(), 11);
    assert_eq!(Message::new(&negative).fields().next().unwrap().unwrap().integer(), Ok(-1));
    let mut long = negative;
    long[10] = 0x02;
    assert_eq!(fields(&long), Err((1, "a varint exceeds 64 bits")));
    assert_eq!(fields(&[0x08, 0x80, 0x80]), Err((1, "a varint does not end")));
}

#[test]
fn offsets_count_from_the_start_of_the_file_at_any_depth() {
    let inner = Proto::default().varint(1, 7).bytes(2, &[0xff]).0;
    let outer = Proto::default().varint(9, 0).bytes(4, &inner).0;
    let message = Message::new(&outer).fields().nth(1).unwrap().unwrap().message().unwrap();
    assert_eq!(message.offset(), 4);
    let text = message.fields().nth(1).unwrap().unwrap();
    assert_eq!(text.offset, 6);
    assert_eq!(text.text().unwrap_err().offset, 8);
}

#[test]
fn damage_ends_the_iteration_with_one_error() {
    assert_eq!(fields(&[0x0a, 0x05, 0x00]), Err((2, "a field reaches past the end of its message")));
    assert_eq!(fields(&[0x00, 0x00]), Err((0, "field number 0")));
    assert_eq!(fields(&[0x0b]), Err((0, "protobuf groups are not used by ONNX")));
    assert_eq!(fields(&[0x0e]), Err((0, "unknown wire type")));
    assert_eq!(fields(&[0x0d, 1, 2, 3]), Err((1, "a field reaches past the end of its message")));
    assert_eq!(fields(&[0x09, 1, 2, 3]), Err((1, "a field reaches past the end of its message")));
    let huge = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(fields(&huge).is_err());
    assert_eq!(Message::new(&[0x0e, 0x0e]).fields().count(), 1);
}

#[test]
fn a_field_of_another_type_is_an_error_not_a_guess() {
    let bytes = Proto::default().varint(1, 1).float(2, 1.0).0;
    let fields: Vec<_> = Message::new(&bytes).fields().map(|field| field.unwrap()).collect();
    assert!(
        fields[0].text().is_err() && fields[0].float().is_err() && fields[0].each_fixed32(|_| ()).is_err()
    );
    assert!(
        fields[1].integer().is_err()
            && fields[1].message().is_err()
            && fields[1].each_varint(|_| ()).is_err()
    );
    assert_eq!(fields[1].float(), Ok(1.0));
}
