//! The last moments of a connection that this side ends in order. Called by `grpc::conn`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a peer may go on sending meanwhile.
const BYTES_MAX: usize = 1 << 20;

/// Says that nothing more comes and then reads until the peer has closed, too, or `timeout`.
///
/// A socket that is closed at once tells its peer so at the peer's next write, and a client that
/// fails to write may drop what it has received and not looked at: its last answers.
pub async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(
    mut io: IO,
    timeout: impl Future<Output = ()>,
) {
    let mut timeout = pin!(timeout);
    let (mut said, mut left) = (false, BYTES_MAX);
    poll_fn(|cx| {
        if !said {
            match Pin::new(&mut io).poll_shutdown(cx) {
                Poll::Pending => return timeout.as_mut().poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => said = true,
            }
        }
        loop {
            let mut scratch = [0; 4 << 10];
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut io).poll_read(cx, &mut buf) {
                Poll::Pending => return timeout.as_mut().poll(cx),
                Poll::Ready(Ok(())) if (1..=left).contains(&buf.filled().len()) => {
                    left -= buf.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
