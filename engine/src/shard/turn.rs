//! Giving up the rest of a turn, so that long work does not hold up short work.

use std::future::{Future, poll_fn};
use std::task::Poll;

use openraft::type_config::TypeConfigExt;

use crate::env::Env;
use crate::group::types::Types;

/// Lets every other task that is ready run first.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Starts a task that nobody waits for.
pub fn spawn<E: Env>(task: impl Future<Output = ()> + 'static) {
    // Dropping the handle of an openraft runtime's task leaves the task running.
    drop(Types::<E>::spawn(task));
}
