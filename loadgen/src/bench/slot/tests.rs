//! A connection whose server has gone.
#![allow(clippy::unwrap_used)]

use clap::Parser;
use tokio::net::TcpListener;
use tokio::task::{LocalSet, yield_now};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

async fn slot_of(listener: &TcpListener) -> Rc<Slot> {
    let endpoint = listener.local_addr().unwrap().to_string();
    let line = Line::parse_from(["test", "--endpoints", &endpoint]);
    Slot::open(&Rc::new(line.options), 0).await.unwrap()
}

/// A thousand operations that are due while a server is away must not wait for a thousand attempts
/// one after the other.
#[tokio::test]
async fn all_who_wait_for_an_attempt_to_connect_are_told_when_it_fails() {
    let test = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slot = slot_of(&listener).await;
        drop(listener.accept().await.unwrap());
        drop(listener);
        while slot.sound().is_some() {
            yield_now().await;
        }
        let before = slot.number.get();
        let waiting = (0..20).map(|_| slot.channel());
        let told = futures::future::join_all(waiting).await;
        assert!(told.iter().all(|told| {
            let status = told.as_ref().err();
            status.is_some_and(|status| status.code == Status::UNAVAILABLE)
        }));
        assert_eq!(slot.number.get() - before, 1);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_server_that_is_back_is_connected_to_again() {
    let test = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slot = slot_of(&listener).await;
        drop(listener.accept().await.unwrap());
        while slot.sound().is_some() {
            yield_now().await;
        }
        assert!(slot.channel().await.is_ok());
        listener.accept().await.unwrap();
    };
    LocalSet::new().run_until(test).await;
}
