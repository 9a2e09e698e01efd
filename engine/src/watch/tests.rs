//! Tests of the hub by what a client would see; `tests/model.rs` holds the random one.
#![allow(clippy::unwrap_used)]

mod create;
mod events;
mod history;
mod issues;
mod model;
mod progress;
mod ranges;
mod slow;
mod world;

use bytes::Bytes;

use super::*;
use crate::keys::KeyRange;
use world::{World, all, key, one, span};

fn world() -> World {
    World::new(Settings::default())
}

fn from(range: KeyRange, start_revision: i64) -> CreateRequest {
    CreateRequest::new(range, start_revision)
}
