//! `TensorProto` to a typed tensor: extents are checked against the bytes present before memory is taken.

#[cfg(test)]
mod tests;

use half::{bf16, f16};

use super::element::Element;
use super::importer::checked_count;
use super::model::TensorView;
use super::problem::{Fault, ImportErrors, quote};
use super::wire::{Message, WireError};
use crate::network::{Data, Tensor};

/// A tensor with the name and element type the file gives it.
#[derive(Debug, Clone)]
pub struct NamedTensor {
    /// Name in the file; may be empty.
    pub name: String,
    /// Element type in the file; [`Tensor`] holds floats as f32 and wide integers as i64.
    pub element: Element,
    /// Shape and elements.
    pub tensor: Tensor,
}

/// Reads a file that holds one serialized `TensorProto` (the `.pb` files of the ONNX backend tests).
///
/// # Errors
/// When the bytes are damaged, the element type is not supported or the extents and the data disagree.
pub fn read_tensor(bytes: &[u8]) -> Result<NamedTensor, ImportErrors> {
    let view = TensorView::parse(Message::new(bytes))?;
    let (element, tensor) =
        convert(&view).map_err(|fault| ImportErrors(vec![fault.of(view.name, "tensor")]))?;
    Ok(NamedTensor { name: view.name.to_owned(), element, tensor })
}

/// The element type and elements of a tensor in the file.
pub(super) fn convert(view: &TensorView<'_>) -> Result<(Element, Tensor), Fault> {
    if let Some(location) = view.external {
        return Err(Fault::at(
            "external_data",
            format!("the data is kept in another file ('{}'), which is never opened", quote(location)),
            "save the model with its weights inside one file",
        ));
    }
    if view.segmented {
        return Err(Fault::at("segment", "the tensor is stored in segments", "save the tensor in one piece"));
    }
    let element = Element::from_code(view.data_type).map_err(|name| {
        Fault::at(
            "data_type",
            format!("element type {name} ({}) is not supported", view.data_type),
            "export with float or int8 weights",
        )
    })?;
    let (shape, count) = extents(&view.dims)?;
    let data = match view.raw {
        Some(raw) => from_raw(element, raw, count)?,
        None => from_fields(element, view, count)?,
    };
    Ok((element, Tensor { shape, data }))
}

fn extents(dims: &[i64]) -> Result<(Vec<usize>, usize), Fault> {
    let shape = dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<Vec<usize>, _>>();
    let shape = shape.map_err(|_| {
        Fault::at("dims", format!("an extent of {dims:?} is negative"), "export the tensor again")
    })?;
    let count = checked_count(&shape)?;
    Ok((shape, count))
}

fn length_fault(count: usize, present: usize, unit: &str) -> Fault {
    Fault::at(
        "dims",
        format!("the extents ask for {count} {unit} but the file holds {present}"),
        "the tensor is damaged; export it again",
    )
}

fn from_raw(element: Element, raw: &[u8], count: usize) -> Result<Data, Fault> {
    if count.checked_mul(element.size()) != Some(raw.len()) {
        let present = raw.len() / element.size();
        return Err(length_fault(count, present, "elements"));
    }
    Ok(match element {
        Element::I8 => Data::I8(raw.iter().map(|byte| byte.cast_signed()).collect()),
        Element::U8 => Data::U8(raw.to_vec()),
        Element::Bool => Data::Bool(raw.iter().map(|&byte| byte != 0).collect()),
        Element::F32 => Data::F32(words(raw, f32::from_le_bytes)),
        Element::F64 => Data::F32(words(raw, |bytes| narrow(f64::from_le_bytes(bytes)))),
        Element::F16 => Data::F32(words(raw, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Element::BF16 => Data::F32(words(raw, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        Element::I16 => Data::I64(words(raw, |bytes| i64::from(i16::from_le_bytes(bytes)))),
        Element::U16 => Data::I64(words(raw, |bytes| i64::from(u16::from_le_bytes(bytes)))),
        Element::I32 => Data::I64(words(raw, |bytes| i64::from(i32::from_le_bytes(bytes)))),
        Element::U32 => Data::I64(words(raw, |bytes| i64::from(u32::from_le_bytes(bytes)))),
        Element::I64 => Data::I64(words(raw, i64::from_le_bytes)),
        Element::U64 => {
            let values = words(raw, |bytes| i64::try_from(u64::from_le_bytes(bytes)).ok());
            Data::I64(values.into_iter().collect::<Option<Vec<i64>>>().ok_or_else(too_wide)?)
        }
    })
}

/// Little-endian words of `N` bytes; `raw` is a whole number of them.
fn words<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = raw.as_chunks::<N>();
    words.iter().map(|&word| convert(word)).collect()
}

/// f64 to f32, rounding half to even (the `as` conversion of IEEE formats).
#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn too_wide() -> Fault {
    Fault::at("data_type", "an element does not fit its type", "export the tensor again")
}

/// Calls `visit` with the bits of each element in the typed data field of `element`.
fn each_element(element: Element, body: Message<'_>, mut visit: impl FnMut(u64)) -> Result<(), WireError> {
    for field in body.fields() {
        let field = field?;
        match (field.number, element) {
            (4, Element::F32) => field.each_fixed32(|bits| visit(u64::from(bits)))?,
            (10, Element::F64) => field.each_fixed64(&mut visit)?,
            (7, Element::I64) | (11, Element::U32 | Element::U64) => field.each_varint(&mut visit)?,
            (5, Element::F32 | Element::F64 | Element::I64 | Element::U32 | Element::U64) => {}
            (5, _) => field.each_varint(&mut visit)?,
            _ => {}
        }
    }
    Ok(())
}

fn from_fields(element: Element, view: &TensorView<'_>, count: usize) -> Result<Data, Fault> {
    let mut present = 0usize;
    each_element(element, view.body, |_| present += 1)?;
    if present != count {
        return Err(length_fault(count, present, "elements"));
    }
    if element.is_float() {
        let mut values = Vec::with_capacity(count);
        each_element(element, view.body, |bits| values.push(float_from_bits(element, bits)))?;
        return Ok(Data::F32(values));
    }
    if element == Element::Bool {
        let mut values = Vec::with_capacity(count);
        each_element(element, view.body, |bits| values.push(bits != 0))?;
        return Ok(Data::Bool(values));
    }
    if let (true, Some((low, high))) = (element.is_quantized(), element.range()) {
        let mut fits = true;
        let mut bytes = Vec::with_capacity(count);
        each_element(element, view.body, |bits| {
            let value = bits.cast_signed();
            fits &= (low..=high).contains(&value);
            bytes.push(value.to_le_bytes()[0]);
        })?;
        return if fits { from_raw(element, &bytes, count) } else { Err(too_wide()) };
    }
    let mut values = Vec::with_capacity(count);
    each_element(element, view.body, |bits| values.push(bits.cast_signed()))?;
    element.integers(values).ok_or_else(too_wide)
}

fn float_from_bits(element: Element, bits: u64) -> f32 {
    let low_word = u32::try_from(bits & 0xffff_ffff).unwrap_or_default();
    let low_half = u16::try_from(bits & 0xffff).unwrap_or_default();
    match element {
        Element::F64 => narrow(f64::from_bits(bits)),
        Element::F16 => f16::from_bits(low_half).to_f32(),
        Element::BF16 => bf16::from_bits(low_half).to_f32(),
        _ => f32::from_bits(low_word),
    }
}
