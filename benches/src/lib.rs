//! benches
pub mod seam;
