//! Starting, ending and failing executors.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn each_core_runs_its_body_on_a_named_thread() {
    let config = ExecutorConfig::new(3);
    let (tx, rx) = channel();
    let executors = start(&config, vec!["a", "b", "c"], move |core, input| {
        let tx = tx.clone();
        async move {
            let name = thread::current().name().unwrap_or_default().to_string();
            tx.send((core, input, name)).unwrap();
        }
    })
    .unwrap();
    let exits = executors.join();
    assert_eq!(exits.len(), 3);
    assert!(exits.iter().all(|exit| exit.ending == Ending::Returned));
    let mut seen: Vec<_> = rx.iter().take(3).collect();
    seen.sort();
    assert_eq!(seen[2], (CoreId(2), "c", "stoa-core-2".to_string()));
}

#[test]
fn a_panic_in_a_spawned_task_names_its_core_while_the_others_run() {
    let executors = start(
        &ExecutorConfig::new(2),
        vec![false, true],
        |_, fails| async move {
            if fails {
                spawn_scheduled(async { panic!("the page at 4096 is gone") });
            }
            std::future::pending::<()>().await;
        },
    )
    .unwrap();
    let exit = executors.wait().unwrap();
    assert_eq!(exit.core, CoreId(1));
    assert_eq!(
        exit.to_string(),
        "core 1 panicked: the page at 4096 is gone"
    );
    assert!(
        executors.wait_timeout(Duration::ZERO).is_none(),
        "core 0 is still running"
    );
}

#[test]
fn more_cores_than_cpus_run_unbound() {
    let cores = 2 * thread::available_parallelism().unwrap().get() as u16 + 1;
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let inputs = vec![(); usize::from(cores)];
    let executors = start(&ExecutorConfig::new(cores), inputs, move |_, ()| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
    .unwrap();
    executors.join();
    assert_eq!(ran.load(Ordering::Relaxed), usize::from(cores));
}

#[test]
fn a_cpu_list_that_does_not_fit_is_refused_with_the_numbers() {
    let mut config = ExecutorConfig::new(1);
    config.pinning = Pinning::Cpus(vec![0, 1]);
    let text = cpus(&config).unwrap_err().to_string();
    assert_eq!(text, "2 CPUs are listed for 1 cores");
    config.pinning = Pinning::Cpus(vec![1000]);
    let text = cpus(&config).unwrap_err().to_string();
    assert!(text.starts_with("CPU 1000 is listed"), "{text}");
}

#[test]
fn a_pinned_core_runs_on_its_cpu_only() {
    let cpu = *allowed_cpus().last().unwrap();
    let mut config = ExecutorConfig::new(1);
    config.pinning = Pinning::Cpus(vec![cpu]);
    let (tx, rx) = channel();
    start(&config, vec![tx], |_, tx| async move {
        tx.send(allowed_cpus()).unwrap()
    })
    .unwrap()
    .join();
    assert_eq!(rx.recv().unwrap(), [cpu]);
}

#[test]
fn what_forbids_io_uring_is_named() {
    let eperm = io::Error::from_raw_os_error(libc::EPERM);
    assert!(why_no_ring(&eperm, "2\n").contains("kernel.io_uring_disabled is 2"));
    assert!(why_no_ring(&eperm, "").contains("seccomp"));
    let enosys = io::Error::from_raw_os_error(libc::ENOSYS);
    assert!(why_no_ring(&enosys, "").contains("5.11"));
}

#[test]
fn too_little_locked_memory_is_told_from_a_forbidden_ring() {
    let enomem = io::Error::from_raw_os_error(libc::ENOMEM);
    let text = no_ring(&enomem, 65_536).to_string();
    assert!(
        text.contains("only 65536 bytes of memory may be locked"),
        "{text}"
    );
    assert!(matches!(
        no_ring(&enomem, u64::MAX),
        RuntimeError::IoUringForbidden(_)
    ));
}

#[test]
fn work_that_yields_to_io_lets_sockets_through() {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use tokio::io::AsyncReadExt;

    use crate::runtime::tcp::CoalescedStream;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let executors = start(
        &ExecutorConfig::new(1),
        vec![listener],
        move |_, listener| async move {
            let mut ours = CoalescedStream::connect(address).await.unwrap();
            let (mut peer, _): (TcpStream, _) = listener.accept().unwrap();
            let read = spawn_scheduled(async move {
                let mut byte = [0];
                ours.read_exact(&mut byte).await.unwrap();
                byte[0]
            });
            yield_to_io().await;
            peer.write_all(&[7]).unwrap();
            // Work in steps that never leaves the executor idle.
            let mut read = std::pin::pin!(read);
            for step in 0.. {
                yield_to_io().await;
                if let std::task::Poll::Ready(byte) = futures::poll!(read.as_mut()) {
                    assert_eq!(byte, Some(7));
                    break;
                }
                assert!(step < 10_000, "the byte was never seen");
            }
        },
    )
    .unwrap();
    assert_eq!(executors.wait().unwrap().ending, Ending::Returned);
}
