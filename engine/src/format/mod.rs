//! format: being built.
