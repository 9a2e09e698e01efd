//! Giving up the rest of a turn, so that long work does not hold up short work.

use std::future::poll_fn;
use std::task::Poll;

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
