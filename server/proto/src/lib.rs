//! server/proto
