//! The binary `stoa`.
fn main() {}
