//! Giving up the rest of a turn, so that long work does not hold up short work.

use std::future::Future;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::group::types::Types;

/// Lets every other task that is ready run first, and lets the runtime look at its ring: a task
/// that merely wakes itself might keep it from that.
pub async fn yield_now<E: Env>() {
    Types::<E>::sleep(Duration::ZERO).await;
}

/// Starts a task that nobody waits for.
pub fn spawn<E: Env>(task: impl Future<Output = ()> + 'static) {
    // Dropping the handle of an openraft runtime's task leaves the task running.
    drop(Types::<E>::spawn(task));
}
