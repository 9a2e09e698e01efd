//! group: being built.
