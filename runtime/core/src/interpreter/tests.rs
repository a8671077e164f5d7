//! Tests of interpreter.
