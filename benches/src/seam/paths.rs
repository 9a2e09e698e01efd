//! Whole ways of a request: answered on the core of its connection, or by another core after one
//! write for all that gathered.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use engine::env::channels::{LocalOneshot, OneshotSender};
use engine::env::{Disk, DiskFile, Mail, OpenMode};
use engine::ids::CoreId;
use openraft_rt::{Oneshot, OneshotSender as _};
use server::net::accept::Listen;
use server::runtime::disk::DirectDisk;
use server::runtime::executor::{ExecutorConfig, Pinning, spawn_scheduled, start};
use server::runtime::listen::Listener;
use server::runtime::mailbox::{Letters, Mailbox, Mailboxes, Post};

use super::h2_client::{self, Seen};
use super::h2_server::{self, Answer};
use super::{Row, cpu};

const WARM_UP: Duration = Duration::from_millis(500);
const BLOCKS: u64 = 2048;

/// How many calls are open.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections.
    pub connections: usize,
    /// Calls on each.
    pub streams: usize,
    /// Time to measure.
    pub length: Duration,
}

/// Unary echo on one executor; CPU is the server's alone.
///
/// # Panics
/// When the server fails.
pub fn echo(name: &str, load: Load) -> Row {
    let (bound, address) = channel();
    let mut config = ExecutorConfig::new(1);
    config.pinning = Pinning::Cpus(vec![0]);
    let _executors = start(&config, vec![bound], |_, bound| async move {
        accept(bound, Answer::Now).await;
    })
    .expect("an executor");
    measure(name, load, address.recv().expect("a listener"))
}

/// Each call goes from core 0 to core 1, which writes once for all that came, and back.
///
/// # Panics
/// When the server or the disk fails.
pub fn grouped_writes(name: &str, load: Load, root: PathBuf) -> Row {
    let (bound, address) = channel();
    let mailboxes = Mailboxes::new::<Carried>(2);
    let inputs = mailboxes
        .into_iter()
        .map(|mailbox| (mailbox, bound.clone(), root.clone()));
    let config = ExecutorConfig::new(2);
    let _executors = start(
        &config,
        inputs.collect(),
        |core, (mailbox, bound, root)| async move {
            if core == CoreId(0) {
                front(mailbox, bound).await
            } else {
                writer(mailbox, root).await
            }
        },
    )
    .expect("two executors");
    measure(name, load, address.recv().expect("a listener"))
}

/// A message on its way, with the place of its caller.
type Carried = (usize, Bytes);

async fn accept(bound: Sender<SocketAddr>, handle: impl Fn(Bytes) -> Answer + Clone + 'static) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    bound
        .send(listener.local_addr().expect("it is bound"))
        .expect("the bench waits");
    while let Ok((stream, _)) = listener.accept().await {
        let handle = handle.clone();
        spawn_scheduled(async move {
            // The client just goes away at the end.
            let _ = h2_server::serve(stream, handle).await;
        });
    }
}

async fn front(mailbox: Mailbox<Carried>, bound: Sender<SocketAddr>) {
    let (post, letters) = mailbox.open();
    let callers = Rc::new(RefCell::new(Callers::default()));
    spawn_scheduled(answers(letters, callers.clone()));
    accept(bound, move |message| {
        let (answer, later) = LocalOneshot::channel();
        let place = callers.borrow_mut().enter(answer);
        post.send(CoreId(1), (place, message));
        Answer::Later(later)
    })
    .await;
}

#[derive(Default)]
struct Callers {
    places: Vec<Option<OneshotSender<Bytes>>>,
    free: Vec<usize>,
}

impl Callers {
    fn enter(&mut self, answer: OneshotSender<Bytes>) -> usize {
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(answer);
        place
    }

    fn answer(&mut self, (place, message): Carried) {
        if let Some(answer) = self.places[place].take() {
            self.free.push(place);
            // A caller that left wants no answer.
            let _ = answer.send(message);
        }
    }
}

async fn answers(mut letters: Letters<Carried>, callers: Rc<RefCell<Callers>>) {
    let mut batch = Vec::new();
    loop {
        letters.receive(&mut batch).await;
        batch
            .drain(..)
            .for_each(|carried| callers.borrow_mut().answer(carried));
    }
}

async fn writer(mailbox: Mailbox<Carried>, root: PathBuf) {
    let (post, mut letters): (Post<Carried>, _) = mailbox.open();
    let disk = DirectDisk::open(&root).await.expect("a directory");
    let mode = OpenMode {
        durable_writes: true,
        ..OpenMode::CREATE
    };
    let file = disk.open("paths.wal", mode).await.expect("a file");
    let all = file.alloc(4096 * BLOCKS as usize);
    file.write(0, all).await.expect("space for it");
    disk.remove("paths.wal").await.expect("the file is there");
    let mut batch = Vec::new();
    for turn in 0u64.. {
        letters.receive(&mut batch).await;
        let bytes: usize = batch.iter().map(|(_, message)| message.len()).sum();
        let mut buf = file.alloc(bytes.next_multiple_of(4096));
        let mut at = 0;
        for (_, message) in &batch {
            buf[at..at + message.len()].copy_from_slice(message);
            at += message.len();
        }
        file.write(turn % (BLOCKS / 8) * 8 * 4096, buf)
            .await
            .expect("a write");
        batch
            .drain(..)
            .for_each(|carried| post.send(CoreId(0), carried));
    }
}

/// Runs the client against `address` and measures the executors meanwhile.
///
/// # Panics
/// When the server fails.
pub fn measure(name: &str, load: Load, address: SocketAddr) -> Row {
    let measuring = Arc::new(AtomicBool::new(false));
    let flag = measuring.clone();
    let client = thread::Builder::new()
        .name("client".to_string())
        .spawn(move || -> Seen {
            h2_client::run(
                address,
                load.connections,
                load.streams,
                WARM_UP,
                load.length,
                flag,
            )
        });
    let client = client.expect("a thread");
    let wait_for = |wanted| {
        while measuring.load(Ordering::SeqCst) != wanted && !client.is_finished() {
            thread::sleep(Duration::from_micros(200));
        }
    };
    wait_for(true);
    let before = cpu::threads_ns(&["stoa-core"]);
    wait_for(false);
    let cpu_ns = cpu::threads_ns(&["stoa-core"]) - before;
    let seen = client.join().expect("the client saw no error");
    Row::new(name, seen.elapsed, &seen.latency_ns, cpu_ns)
}
