//! lease: being built.
