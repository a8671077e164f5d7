//! No schedule changes a byte: random networks, every schedule of theirs, every tier, whole frames and rows.

mod budgets;
mod bytes;
mod draft;
mod networks;
mod oracle;
mod places;
mod plans;
mod rows;
mod simulate;
