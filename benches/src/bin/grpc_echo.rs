//! Prints what a unary gRPC call costs the server, through the whole of `net` and `grpc`: the
//! client has a thread of its own and is not counted.
//!
//! `cargo run --release -p benches --bin grpc_echo [-- --seconds 5]`
#![allow(clippy::print_stdout)]

use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use benches::seam::paths::{Load, measure};
use benches::seam::seconds;
use bytes::Bytes;
use clap::Parser;
use server::grpc::conn::Node;
use server::grpc::{Inbound, Limits, Metadata, Method, Outbound, Reply, Service, Status};
use server::http::access::Access;
use server::http::{Handler, Request, Response};
use server::net::accept::{self, Bounds, Front};
use server::net::drain::Drain;
use server::runtime::executor::{ExecutorConfig, Pinning, start};
use server::runtime::listen::{Listener, LocalSpawn, LocalTime};

/// How long each row.
#[derive(Parser)]
struct Args {
    /// Seconds per row.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
}

struct Echo;

impl Service for Echo {
    async fn unary(&self, _: Method, message: Bytes, _: &Metadata) -> Result<Reply, Status> {
        Ok(Reply::from_pieces([message]))
    }

    async fn stream(&self, _: Method, _: Inbound, _: Outbound, _: &Metadata) -> Result<(), Status> {
        Ok(())
    }
}

struct Nothing(Access);

impl Handler for Nothing {
    fn access(&self) -> &Access {
        &self.0
    }

    async fn handle(&self, _: Request) -> Response {
        Response::not_found()
    }
}

fn main() {
    let args = Args::parse();
    println!("connections x streams | thousand/s | p50 us | p99 us | CPU us");
    for (connections, streams) in [(1, 1), (4, 64), (8, 128)] {
        let (bound, address) = channel();
        let mut config = ExecutorConfig::new(1);
        config.pinning = Pinning::Cpus(vec![0]);
        let _executors = start(&config, vec![bound], |_, bound| async move {
            let any = "127.0.0.1:0".parse().expect("an address");
            let listener = Listener::bind(any).expect("a free port");
            let addr = listener.local_addr().expect("it is bound");
            bound.send(addr).expect("the bench waits");
            let front = Front {
                node: Node::new(Echo, LocalTime::default(), Limits::default()),
                handler: Rc::new(Nothing(Access::pages())),
                drain: Drain::new(),
                bounds: Bounds::default(),
            };
            accept::serve(&listener, &front, &LocalSpawn).await;
        })
        .expect("an executor");
        let load = Load {
            connections,
            streams,
            length: args.seconds,
        };
        let row = measure("grpc", load, address.recv().expect("a listener"));
        println!(
            "{connections} x {streams} | {:.1} | {:.0} | {:.0} | {:.2}",
            row.operations as f64 / row.elapsed.as_secs_f64() / 1000.0,
            row.latency_us.0,
            row.latency_us.1,
            row.cpu_us
        );
    }
}
