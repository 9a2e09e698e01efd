//! Benches named after what they measure, and the side-by-side runs against etcd.

pub mod seam;
