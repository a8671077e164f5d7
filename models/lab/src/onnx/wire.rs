//! A bounded, zero-copy reader of the protobuf wire format (protobuf.dev, "Encoding").
//!
//! One message level at a time: nesting is followed only where the caller asks, so no file drives
//! recursion.

#[cfg(test)]
mod tests;

use std::fmt;

/// Longest encoding of a 64-bit varint, in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// Damage found while reading, with the byte offset from the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireError {
    /// Offset of the first byte that could not be understood.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "byte {}: {}", self.offset, self.what)
    }
}

impl std::error::Error for WireError {}

/// A message, string or packed array: a slice of the file and where it starts.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// The value of one field, by wire type.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(Message<'a>),
    /// Wire type 5.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Field number, 1 or more.
    pub number: u32,
    /// Offset of the field's tag.
    pub offset: usize,
    /// Its value.
    pub payload: Payload<'a>,
}

/// Iterator over the fields of a message; ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: Message<'a>,
}

impl<'a> Message<'a> {
    /// The whole file as a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Its bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Offset of its first byte in the file.
    pub fn offset(self) -> usize {
        self.offset
    }

    /// Its fields in file order.
    pub fn fields(self) -> Fields<'a> {
        Fields { rest: self }
    }

    /// Its bytes as text.
    ///
    /// # Errors
    /// When they are not UTF-8.
    pub fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes).map_err(|error| WireError {
            offset: self.offset.saturating_add(error.valid_up_to()),
            what: "text is not UTF-8",
        })
    }

    fn error(self, what: &'static str) -> WireError {
        WireError { offset: self.offset, what }
    }

    fn take(&mut self, count: usize) -> Result<Message<'a>, WireError> {
        let Some((head, tail)) = self.bytes.split_at_checked(count) else {
            return Err(self.error("a field reaches past the end of its message"));
        };
        let taken = Message { bytes: head, offset: self.offset };
        self.bytes = tail;
        self.offset = self.offset.saturating_add(count);
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for (index, &byte) in self.bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
            if index + 1 == VARINT_BYTES_MAX && byte > 1 {
                return Err(self.error("a varint exceeds 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.take(index + 1)?;
                return Ok(value);
            }
        }
        Err(self.error("a varint does not end"))
    }

    fn fixed32(&mut self) -> Result<u32, WireError> {
        let taken = self.take(4)?;
        let bytes = <[u8; 4]>::try_from(taken.bytes).map_err(|_| taken.error("short fixed32"))?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn fixed64(&mut self) -> Result<u64, WireError> {
        let taken = self.take(8)?;
        let bytes = <[u8; 8]>::try_from(taken.bytes).map_err(|_| taken.error("short fixed64"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn field(&mut self) -> Result<Field<'a>, WireError> {
        let offset = self.offset;
        let error = |what| WireError { offset, what };
        let tag = u32::try_from(self.varint()?).map_err(|_| error("a field number exceeds 29 bits"))?;
        let number = tag >> 3;
        if number == 0 {
            return Err(error("field number 0"));
        }
        let payload = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| error("a length exceeds the file"))?;
                Payload::Bytes(self.take(length)?)
            }
            5 => Payload::Fixed32(self.fixed32()?),
            3 | 4 => return Err(error("protobuf groups are not used by ONNX")),
            _ => return Err(error("unknown wire type")),
        };
        Ok(Field { number, offset, payload })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.bytes.is_empty() {
            return None;
        }
        let field = self.rest.field();
        if field.is_err() {
            self.rest.bytes = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    /// An error at this field.
    pub fn error(&self, what: &'static str) -> WireError {
        WireError { offset: self.offset, what }
    }

    /// The embedded message (or bytes).
    ///
    /// # Errors
    /// When the wire type is another one.
    pub fn message(&self) -> Result<Message<'a>, WireError> {
        match self.payload {
            Payload::Bytes(message) => Ok(message),
            _ => Err(self.error("a message, text or bytes field has another wire type")),
        }
    }

    /// The text.
    ///
    /// # Errors
    /// When the wire type is another one or the bytes are not UTF-8.
    pub fn text(&self) -> Result<&'a str, WireError> {
        self.message()?.text()
    }

    /// The integer (int32, int64 and enum fields; two's complement as protobuf defines).
    ///
    /// # Errors
    /// When the wire type is another one.
    pub fn integer(&self) -> Result<i64, WireError> {
        match self.payload {
            Payload::Varint(value) => Ok(value.cast_signed()),
            _ => Err(self.error("an integer field has another wire type")),
        }
    }

    /// The float.
    ///
    /// # Errors
    /// When the wire type is another one.
    pub fn float(&self) -> Result<f32, WireError> {
        match self.payload {
            Payload::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.error("a float field has another wire type")),
        }
    }

    /// Calls `visit` for each value of a repeated varint field, packed or not.
    ///
    /// # Errors
    /// When the wire type is another one or the packed bytes are cut short.
    pub fn each_varint(&self, mut visit: impl FnMut(u64)) -> Result<(), WireError> {
        match self.payload {
            Payload::Varint(value) => visit(value),
            Payload::Bytes(mut packed) => {
                while !packed.bytes.is_empty() {
                    visit(packed.varint()?);
                }
            }
            _ => return Err(self.error("a repeated integer field has another wire type")),
        }
        Ok(())
    }

    /// Calls `visit` for each value of a repeated float field, packed or not.
    ///
    /// # Errors
    /// When the wire type is another one or the packed bytes are cut short.
    pub fn each_fixed32(&self, mut visit: impl FnMut(u32)) -> Result<(), WireError> {
        match self.payload {
            Payload::Fixed32(value) => visit(value),
            Payload::Bytes(mut packed) => {
                while !packed.bytes.is_empty() {
                    visit(packed.fixed32()?);
                }
            }
            _ => return Err(self.error("a repeated float field has another wire type")),
        }
        Ok(())
    }

    /// Calls `visit` for each value of a repeated double field, packed or not.
    ///
    /// # Errors
    /// When the wire type is another one or the packed bytes are cut short.
    pub fn each_fixed64(&self, mut visit: impl FnMut(u64)) -> Result<(), WireError> {
        match self.payload {
            Payload::Fixed64(value) => visit(value),
            Payload::Bytes(mut packed) => {
                while !packed.bytes.is_empty() {
                    visit(packed.fixed64()?);
                }
            }
            _ => return Err(self.error("a repeated double field has another wire type")),
        }
        Ok(())
    }
}
