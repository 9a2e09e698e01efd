//! Gathering, backpressure and closing of a [`CoalescedStream`], against plain blocking sockets.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as Blocking};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::runtime::local::Executor;

/// Runs `body` with a gathered stream whose other end is a blocking socket.
fn with_pair<F, T>(body: impl FnOnce(CoalescedStream, Blocking) -> F + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    Executor::new(Duration::ZERO).unwrap().block_on(async move {
        let ours = CoalescedStream::connect(addr).await.unwrap();
        let (peer, _) = listener.accept().unwrap();
        body(ours, peer).await
    })
}

#[test]
fn small_writes_leave_with_the_flush_and_not_before() {
    with_pair(|mut ours, mut peer| async move {
        for i in 0..100u8 {
            ours.write_all(&[i; 10]).await.unwrap();
        }
        peer.set_nonblocking(true).unwrap();
        let mut got = [0; 4096];
        let early = peer.read(&mut got).unwrap_err();
        assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
        ours.flush().await.unwrap();
        peer.set_nonblocking(false).unwrap();
        assert_eq!(
            peer.read(&mut got).unwrap(),
            1000,
            "one piece, as one send made it"
        );
        assert_eq!(&got[990..1000], &[99; 10]);
    });
}

#[test]
fn everything_arrives_in_order_whatever_the_sizes_and_a_slow_reader() {
    let sizes = [1usize, 9, 255, 4096, 16_383, 16_384, 70_000, 300_000, 3];
    let total: usize = sizes.iter().sum::<usize>() * 20;
    with_pair(move |mut ours, mut peer| async move {
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        let mut next = 0u32;
        for _ in 0..20 {
            for size in sizes {
                let piece: Vec<u8> = (next..).take(size).map(|i| (i % 251) as u8).collect();
                next += size as u32;
                ours.write_all(&piece).await.unwrap();
                if size == 4096 {
                    ours.flush().await.unwrap();
                }
            }
        }
        ours.shutdown().await.unwrap();
        let all = reader.join().unwrap();
        assert_eq!(all.len(), total);
        assert!(
            all.iter()
                .enumerate()
                .all(|(i, b)| *b == (i as u32 % 251) as u8)
        );
    });
}

#[test]
fn a_small_read_buffer_loses_nothing_of_a_burst() {
    with_pair(|mut ours, mut peer| async move {
        let sent: Vec<u8> = (0..200_000u32).map(|i| (i % 249) as u8).collect();
        let copy = sent.clone();
        let writer = thread::spawn(move || peer.write_all(&copy));
        let mut got = Vec::new();
        let mut small = [0; 777];
        loop {
            match ours.read(&mut small).await.unwrap() {
                0 => break,
                n => got.extend_from_slice(&small[..n]),
            }
        }
        writer.join().unwrap().unwrap();
        assert!(got == sent);
    });
}

#[test]
fn bytes_put_back_are_read_first() {
    with_pair(|mut ours, mut peer| async move {
        peer.write_all(b"PRI * HTTP/2").unwrap();
        let mut start = [0; 3];
        ours.read_exact(&mut start).await.unwrap();
        ours.unread(&start);
        let mut all = [0; 12];
        ours.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"PRI * HTTP/2");
    });
}

#[test]
fn a_peer_that_left_gives_errors_and_a_clean_shutdown() {
    with_pair(|mut ours, peer| async move {
        drop(peer);
        let mut got = [0; 8];
        assert_eq!(ours.read(&mut got).await.unwrap(), 0, "end of stream");
        let mut failed = false;
        for _ in 0..100 {
            failed |= ours.write_all(&[0; 32 << 10]).await.is_err();
            failed |= ours.flush().await.is_err();
        }
        assert!(failed, "writing to nobody must be reported");
        let _ = ours.shutdown().await;
    });
}
