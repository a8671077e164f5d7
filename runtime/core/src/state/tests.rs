//! A state comes back as it was, and nothing else passes for one.

use super::*;

const KIND: [u8; 4] = *b"TEST";

fn written() -> [u8; 55] {
    let mut bytes = [0; 55];
    let mut writer = Writer::new(&mut bytes, KIND, 3);
    writer.u8(1);
    writer.u16(0x1234);
    writer.u32(77);
    writer.u64(u64::MAX);
    writer.i64(-5);
    writer.raw(&[9; 8]);
    writer.finish().expect("the fields fill the bytes");
    bytes
}

type Fields = (bool, u16, u32, u64, i64, [u8; 8]);

fn read(bytes: &[u8]) -> Result<Fields, StateError> {
    let mut reader = Reader::new(bytes, KIND, 3)?;
    let fields =
        (reader.flag()?, reader.u16()?, reader.u32()?, reader.u64()?, reader.i64()?, reader.raw::<8>()?);
    reader.finish()?;
    Ok(fields)
}

#[test]
fn fields_come_back() {
    assert_eq!(read(&written()), Ok((true, 0x1234, 77, u64::MAX, -5, [9; 8])));
}

#[test]
fn every_flipped_bit_is_found() {
    for bit in 0..written().len() * 8 {
        let mut bytes = written();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_is_found() {
    for length in 0..written().len() {
        assert!(read(&written()[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn other_kinds_versions_and_lengths_are_named() {
    let bytes = written();
    assert_eq!(Reader::new(&bytes, *b"ELSE", 3).err(), Some(StateError::Kind));
    assert_eq!(Reader::new(&bytes, KIND, 4).err(), Some(StateError::Version(3)));
    let mut short = [0; 30];
    let fault = Writer::new(&mut short, KIND, 3).finish();
    assert_eq!(fault, Err(StateError::Length { expected: 24, found: 30 }));
    let reader = Reader::new(&bytes, KIND, 3).expect("the state is sound");
    assert_eq!(reader.finish(), Err(StateError::Field(HEADER_BYTES)));
}
