//! MatMul and Gemm.

use super::super::call::Call;
use super::super::problem::Fault;
use super::broadcast;
use crate::network::{Binary, Op, ValueId};

/// MatMul with NumPy's rules: vectors are promoted to matrices and the added axis is dropped again.
pub(in super::super) fn mat_mul(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let (mut a, mut b) = (call.input(0)?, call.input(1)?);
    let (mut a_shape, mut b_shape) = (call.shape(a), call.shape(b));
    let (row, column) = (a_shape.len() == 1, b_shape.len() == 1);
    if row {
        a_shape.insert(0, 1);
        a = call.emit(Op::Reshape, &[a], a_shape.clone())?;
    }
    if column {
        b_shape.push(1);
        b = call.emit(Op::Reshape, &[b], b_shape.clone())?;
    }
    let mismatch = || {
        let what = format!("shapes {a_shape:?} and {b_shape:?} do not multiply");
        Fault::new(what, "check the input size the network was exported for")
    };
    let ([a_batch @ .., rows, inner_a], [b_batch @ .., inner_b, columns]) =
        (a_shape.as_slice(), b_shape.as_slice())
    else {
        return Err(mismatch());
    };
    if inner_a != inner_b {
        return Err(mismatch());
    }
    let mut shape = broadcast(a_batch, b_batch)?;
    shape.extend([*rows, *columns]);
    let mut result = call.emit(Op::MatMul, &[a, b], shape.clone())?;
    if row || column {
        let last = shape.len() - 1;
        if column {
            shape.remove(last);
        }
        if row {
            shape.remove(last - 1);
        }
        result = call.emit(Op::Reshape, &[result], shape)?;
    }
    call.bind(0, result)
}

/// Gemm: alpha · A′ · B′ + beta · C. Transposes and factors of constants are folded.
pub(in super::super) fn gemm(call: &mut Call<'_, '_>) -> Result<(), Fault> {
    let a = transposed(call, 0, "transA")?;
    let b = transposed(call, 1, "transB")?;
    let (a_shape, b_shape) = (call.shape(a), call.shape(b));
    if a_shape[1] != b_shape[0] {
        let what = format!("matrices of shape {a_shape:?} and {b_shape:?} do not multiply");
        return Err(Fault::new(what, "check the input size the network was exported for"));
    }
    let shape = vec![a_shape[0], b_shape[1]];
    let alpha = call.float("alpha")?.unwrap_or(1.0);
    let b = scaled(call, b, alpha)?;
    let mut result = call.emit(Op::MatMul, &[a, b], shape.clone())?;
    if let Some(c) = call.optional(2) {
        if broadcast(&shape, &call.shape(c))? != shape {
            return Err(Fault::at("C", "the addend is larger than the product", "export the model again"));
        }
        let beta = call.float("beta")?.unwrap_or(1.0);
        let c = scaled(call, c, beta)?;
        result = call.emit(Op::Binary(Binary::Add), &[result, c], shape)?;
    }
    call.bind(0, result)
}

fn transposed(call: &mut Call<'_, '_>, index: usize, flag: &str) -> Result<ValueId, Fault> {
    let id = call.input(index)?;
    let shape = call.shape(id);
    let [rows, columns] = <[usize; 2]>::try_from(shape.as_slice()).map_err(|_| {
        Fault::new(format!("an operand of shape {shape:?} is no matrix"), "export the model again")
    })?;
    match call.flag(flag)? {
        false => Ok(id),
        true => call.emit(Op::Transpose { permutation: vec![1, 0] }, &[id], vec![columns, rows]),
    }
}

fn scaled(call: &mut Call<'_, '_>, id: ValueId, factor: f32) -> Result<ValueId, Fault> {
    if factor == 1.0 {
        return Ok(id);
    }
    let shape = call.shape(id);
    let factor = call.scalar(factor)?;
    call.emit(Op::Binary(Binary::Mul), &[id, factor], shape)
}
