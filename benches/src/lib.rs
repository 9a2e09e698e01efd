//! Benches named after what they measure, and the side-by-side runs against etcd.

pub mod client;
pub mod seam;
pub mod side_by_side;
