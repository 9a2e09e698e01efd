//! The load generator's client as its commands use it: over TLS, as a user, with a reader that is
//! slow.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use loadgen::client::{Channel, Options, Status};
use proto::etcdserverpb as pb;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tests::peer;
use tests::skip::skip;
use tests::target::{Kind, Target};
use tokio_rustls::TlsAcceptor;

fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, story)
}

fn plain(addr: SocketAddr) -> Options {
    Options {
        endpoints: vec![format!("http://{addr}")],
        ..Options::default()
    }
}

fn put(value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: "k".into(),
        value: value.to_owned().into(),
        ..Default::default()
    }
}

async fn value(channel: &Channel) -> Result<bytes::Bytes, Status> {
    let key = pb::RangeRequest {
        key: "k".into(),
        ..Default::default()
    };
    Ok(channel.range(&key).await?.kvs[0].value.clone())
}

/// An authority, and what it signed for a server and a client; made by openssl.
struct Papers(tempfile::TempDir);

impl Papers {
    fn make() -> Option<Papers> {
        let papers = Papers(tempfile::tempdir().unwrap());
        let dir = papers.0.path();
        std::fs::write(dir.join("san"), "subjectAltName=IP:127.0.0.1").unwrap();
        let ca =
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem";
        let mut orders = vec![ca.to_owned()];
        for name in ["server", "client"] {
            orders.push(format!(
                "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ));
            orders.push(format!(
                "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
                 -extfile san -out {name}.pem"
            ));
        }
        for order in orders {
            let made = Command::new("openssl")
                .args(order.split_whitespace())
                .current_dir(dir)
                .stderr(Stdio::null())
                .status();
            let Ok(made) = made else {
                skip("no openssl found");
                return None;
            };
            assert!(made.success(), "{order}");
        }
        Some(papers)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
        let all = CertificateDer::pem_file_iter(path).unwrap();
        all.map(Result::unwrap).collect()
    }

    /// What a server needs that asks clients for their certificates, or does not.
    fn server(&self, mutual: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(Self::chain(&self.path("ca.pem")).remove(0))
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        let builder = match mutual {
            true => builder.with_client_cert_verifier(verifier.build().unwrap()),
            false => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let chain = Self::chain(&self.path("server.pem"));
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Takes TLS off connections and passes them on to a server.
async fn secure_door(acceptor: TlsAcceptor, behind: SocketAddr) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else {
                    return;
                };
                assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                let mut server = tokio::net::TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tls, &mut server).await;
            });
        }
    });
    addr
}

async fn put_over(options: &Options, text: &str) -> Result<(), Status> {
    let channel = Channel::connect(options, 0).await?;
    channel.put(&put(text)).await?;
    assert_eq!(value(&channel).await?, text);
    Ok(())
}

#[test]
fn tls_is_spoken_with_servers_that_can_prove_who_they_are() {
    let Some(papers) = Papers::make() else { return };
    let target = Target::start(Kind::Stoa(1), &[]).unwrap().unwrap();
    run(async {
        let addr = secure_door(papers.server(false), target.addr()).await;
        let unknown = Options {
            endpoints: vec![format!("https://{addr}")],
            ..Options::default()
        };
        let refused = put_over(&unknown, "1").await.unwrap_err();
        assert_eq!(refused.code, Status::UNAVAILABLE);
        assert!(refused.message.contains("no TLS with"), "{refused}");
        let mut known = Options {
            cacert: Some(papers.path("ca.pem")),
            ..unknown.clone()
        };
        put_over(&known, "2").await.unwrap();
        let blind = Options {
            insecure_skip_tls_verify: true,
            ..unknown
        };
        put_over(&blind, "3").await.unwrap();
        // Under a name that it has no certificate for.
        known.endpoints = vec![format!("https://localhost:{}", addr.port())];
        put_over(&known, "4").await.unwrap_err();

        // A server that wants to know who asks.
        let addr = secure_door(papers.server(true), target.addr()).await;
        known.endpoints = vec![format!("https://{addr}")];
        put_over(&known, "5").await.unwrap_err();
        known.cert = Some(papers.path("client.pem"));
        known.key = Some(papers.path("client.key"));
        put_over(&known, "6").await.unwrap();
        known.cacert = Some(papers.path("none.pem"));
        let refused = put_over(&known, "7").await.unwrap_err();
        assert!(refused.message.contains("none.pem"), "{refused}");
    });
}

#[test]
fn a_user_logs_in() {
    let Some(target) = Target::start(Kind::Etcd, &[]).unwrap() else {
        return;
    };
    let Some(etcdctl) = peer::etcdctls().into_iter().next() else {
        return skip("no etcdctl found");
    };
    for order in [
        "user add root:secret",
        "role add root",
        "user grant-role root root",
        "auth enable",
    ] {
        let told = Command::new(&etcdctl.path)
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", target.addr()))
            .args(order.split(' '))
            .output()
            .unwrap();
        assert!(told.status.success(), "{order}: {told:?}");
    }
    run(async {
        let mut options = plain(target.addr());
        let refused = put_over(&options, "1").await.unwrap_err();
        assert_eq!(refused.name(), "INVALID_ARGUMENT", "{refused}");
        assert_eq!(refused.message, "etcdserver: user name is empty");
        options.user = Some("root:wrong".to_owned());
        let refused = put_over(&options, "1").await.unwrap_err();
        assert!(refused.message.contains("authentication failed"));
        options.user = Some("root".to_owned());
        let refused = put_over(&options, "1").await.unwrap_err();
        assert!(refused.message.contains("NAME:PASSWORD"));
        options.user = Some("root:secret".to_owned());
        put_over(&options, "1").await.unwrap();
    });
}

fn watch_of(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: key.to_owned().into(),
        ..Default::default()
    }
}

/// More calls than the server takes at a time wait for their turn, in order, as with other clients;
/// one that is given up meanwhile keeps no place.
#[test]
fn calls_beyond_the_limit_of_a_connection_wait_in_order() {
    let limit = ["--max-concurrent-streams", "3"];
    let target = Target::start(Kind::Stoa(1), &limit).unwrap().unwrap();
    run(async {
        let channel = Channel::connect(&plain(target.addr()), 0).await.unwrap();
        // The first calls of a connection, too, which are made before the server has said a word.
        let puts: Vec<_> = (0..50).map(|n| put(&format!("{n:02}"))).collect();
        let puts = puts.iter().map(|pair| channel.put(pair));
        let told = futures::future::join_all(puts).await;
        let revisions: Vec<i64> = told
            .into_iter()
            .map(|told| told.unwrap().header.unwrap().revision)
            .collect();
        assert!(revisions.is_sorted(), "{revisions:?}");
        assert_eq!(value(&channel).await.unwrap(), "49");

        // All places are taken by streams that go on.
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut stream = channel.watch(watch_of("k")).unwrap();
            assert!(stream.next().await.unwrap().unwrap().created);
            open.push(stream);
        }
        let given_up = channel.watch(watch_of("k")).unwrap();
        let mut waits = channel.watch(watch_of("j")).unwrap();
        // What is said meanwhile is said when its turn comes.
        use pb::watch_request::RequestUnion::CreateRequest;
        let second = pb::WatchRequest {
            request_union: Some(CreateRequest(watch_of("i"))),
        };
        waits.send(&second).unwrap();
        drop(given_up);
        drop(open.pop());
        for _ in 0..2 {
            assert!(waits.next().await.unwrap().unwrap().created);
        }
        drop(open.pop());
        assert_eq!(value(&channel).await.unwrap(), "49");
    });
}

/// What waits for its turn fails with the connection, and does not wait for ever.
#[test]
fn calls_that_wait_fail_when_the_server_has_gone() {
    let limit = ["--max-concurrent-streams", "1"];
    let mut target = Target::start(Kind::Stoa(1), &limit).unwrap().unwrap();
    run(async {
        let channel = Channel::connect(&plain(target.addr()), 0).await.unwrap();
        let mut stream = channel.watch(watch_of("k")).unwrap();
        assert!(stream.next().await.unwrap().unwrap().created);
        let mut waits = channel.watch(watch_of("k")).unwrap();
        target.kill();
        let told = waits.next().await.unwrap_err();
        assert_eq!(told.code, Status::UNAVAILABLE);
    });
}

/// Bytes that the server sent so far.
fn sent(addr: SocketAddr) -> u64 {
    let (_, page) = tests::page::page(addr, "/metrics").unwrap();
    let name = "etcd_network_client_grpc_sent_bytes_total ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_server_has_to_wait_for_a_slow_reader_and_others_do_not() {
    const VALUE_BYTES: usize = 1 << 20;
    const KEYS: usize = 64;
    let target = Target::start(Kind::Stoa(1), &[]).unwrap().unwrap();
    run(async {
        let channel = Channel::connect(&plain(target.addr()), 0).await.unwrap();
        for n in 0..KEYS {
            let pair = pb::PutRequest {
                key: format!("big/{n:02}").into(),
                value: vec![b'v'; VALUE_BYTES].into(),
                ..Default::default()
            };
            channel.put(&pair).await.unwrap();
        }
        channel.put(&put("small")).await.unwrap();
        let before = sent(target.addr());
        let all = pb::RangeRequest {
            key: "big/".into(),
            range_end: "big0".into(),
            ..Default::default()
        };
        let mut stream = channel.range_stream(&all).unwrap();
        let first = stream.next().await.unwrap().unwrap();
        // Enough for the server to have sent all of it, if it could.
        for _ in 0..3000 {
            assert_eq!(value(&channel).await.unwrap(), "small");
        }
        let told = sent(target.addr()) - before;
        assert!(told < (KEYS / 2 * VALUE_BYTES) as u64, "{told} bytes");
        let mut seen = first.range_response.unwrap().kvs.len();
        while let Some(part) = stream.next().await.unwrap() {
            seen += part.range_response.unwrap().kvs.len();
        }
        assert_eq!(seen, KEYS);
    });
}
