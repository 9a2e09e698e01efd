//! benches

pub mod side_by_side;
