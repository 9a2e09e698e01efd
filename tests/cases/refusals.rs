//! What Stoa cannot work with it refuses at its start: in one line that names the reason, with
//! the exit code that `docs/exit-codes.md` gives to it.
#![allow(clippy::unwrap_used)]

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::process::Process;
use tests::skip::skip;
use tests::target::{Kind, Target};

const LIMIT: Duration = Duration::from_secs(30);

fn prepared(extra: &[&str]) -> Target {
    Target::prepare(Kind::Stoa(2), extra).unwrap().unwrap()
}

/// Runs the command and expects that it ends so; `says` has to be in its line.
fn refuses(home: &Path, command: &mut Command, code: i32, name: &str, says: &str) {
    let mut process = Process::spawn(command, &home.join("refusal.log")).unwrap();
    let status = process.wait_exit(LIMIT).unwrap();
    let text = process.log_text();
    assert_eq!(status.code(), Some(code), "{name}: {text}");
    let start = format!("stoa: {name} (exit code {code}): ");
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with(&start)).collect();
    assert_eq!(lines.len(), 1, "one line {start:?} in {text}");
    assert!(lines[0].contains(says), "{says:?} in {}", lines[0]);
}

#[test]
fn an_unknown_flag() {
    let target = prepared(&["--no-such-flag"]);
    refuses(
        target.home(),
        &mut target.command(),
        10,
        "BadConfig",
        "no-such-flag",
    );
}

#[test]
fn a_data_directory_in_use() {
    let first = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let dir = first.data_dir();
    let dir = dir.to_str().unwrap();
    // Other ports: only the directory is in the way. The last --data-dir counts.
    let second = prepared(&[]);
    let mut command = second.command();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let at = args.iter().position(|a| a == "--data-dir").unwrap();
    let program = command.get_program().to_owned();
    command = Command::new(program);
    command.args(&args[..=at]).arg(dir).args(&args[at + 2..]);
    refuses(second.home(), &mut command, 11, "DataDirInUse", dir);
    assert!(first.process().usage().is_ok(), "the first server goes on");
}

#[test]
fn a_data_directory_that_is_a_file() {
    let target = prepared(&[]);
    std::fs::write(target.data_dir(), "in the way").unwrap();
    let dir = target.data_dir();
    let dir = dir.to_str().unwrap();
    refuses(
        target.home(),
        &mut target.command(),
        12,
        "DataDirUnusable",
        dir,
    );
}

#[test]
fn the_data_of_etcd() {
    let Some(mut etcd) = Target::start(Kind::Etcd, &[]).unwrap() else {
        return;
    };
    etcd.stop().unwrap();
    let target = prepared(&[]);
    std::fs::rename(etcd.data_dir(), target.data_dir()).unwrap();
    refuses(
        target.home(),
        &mut target.command(),
        13,
        "NewerFormat",
        "etcd",
    );
    assert!(
        target.data_dir().join("member").exists(),
        "etcd's data is left alone"
    );
}

#[test]
fn a_client_port_in_use() {
    let target = prepared(&[]);
    let _taken = TcpListener::bind(target.addr()).unwrap();
    let port = target.addr().to_string();
    refuses(target.home(), &mut target.command(), 15, "PortInUse", &port);
}

#[test]
fn a_metrics_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let target = prepared(&["--listen-metrics-urls", &format!("http://{port}")]);
    let mut command = target.command();
    refuses(target.home(), &mut command, 15, "PortInUse", &port);
    let text = std::fs::read_to_string(target.home().join("refusal.log")).unwrap();
    assert!(text.contains("--listen-metrics-urls"), "{text}");
}

#[test]
fn a_data_directory_of_a_newer_version() {
    let mut target = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    target.stop().unwrap();
    // The header of a document: version at 8, checksum over bytes 0..28 behind them.
    let path = target.data_dir().join("SUPERBLOCK");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..10].copy_from_slice(&999u16.to_le_bytes());
    let checksum = crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let mut command = target.command();
    refuses(target.home(), &mut command, 13, "NewerFormat", "999");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left alone");
}

/// CRC32C, bit by bit: the tests do not take the server's word for it.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn another_server_on_the_client_port() {
    // SO_REUSEPORT would let a second server in without an error.
    let first = Target::start(Kind::Stoa(2), &[]).unwrap().unwrap();
    let url = first.endpoint();
    let second = prepared(&[
        "--listen-client-urls",
        &url,
        "--advertise-client-urls",
        &url,
    ]);
    let mut command = second.command();
    refuses(
        second.home(),
        &mut command,
        15,
        "PortInUse",
        &first.addr().to_string(),
    );
}

/// Lowers the limit on locked memory to 64 KiB, between fork and exec.
fn lock_little_memory() -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: 64 << 10,
        rlim_max: 64 << 10,
    };
    // SAFETY: setrlimit reads a local copy; it does not allocate or lock.
    match unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A kernel before 5.12 charges rings to the limit; this one is made to answer as such a kernel.
#[test]
fn little_locked_memory_where_rings_are_charged_to_it() {
    let target = prepared(&[]);
    let mut command = target.command();
    // SAFETY: between fork and exec only setrlimit and prctl are called.
    unsafe {
        command.pre_exec(|| {
            lock_little_memory()?;
            refuse_rings::<{ libc::ENOMEM }>()
        });
    }
    refuses(target.home(), &mut command, 17, "LockedMemory", "memlock");
}

#[test]
fn io_uring_forbidden() {
    let target = prepared(&[]);
    let mut command = target.command();
    // SAFETY: between fork and exec only prctl is called, on static data.
    unsafe {
        command.pre_exec(refuse_rings::<{ libc::EPERM }>);
    }
    refuses(
        target.home(),
        &mut command,
        18,
        "IoUringForbidden",
        "io_uring",
    );
}

/// Has the kernel refuse `io_uring_setup`: with EPERM as a container's default profile does.
fn refuse_rings<const ERRNO: i32>() -> io::Result<()> {
    const fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        }
    }
    // Load the call's number; if it is io_uring_setup answer the error, else allow.
    let filter: [libc::sock_filter; 4] = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | ERRNO as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the program and its filter outlive the calls, and the kernel only reads them.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    };
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[test]
fn a_full_disk() {
    let target = prepared(&[]);
    let dir = target.data_dir();
    std::fs::create_dir(&dir).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=64k", "stoa-full"];
    let mounted = Command::new("mount").args(mount).arg(&dir).output();
    if !mounted.is_ok_and(|out| out.status.success()) {
        return skip("mounting a small file system needs root");
    }
    let _unmount = Unmount(&dir);
    refuses(
        target.home(),
        &mut target.command(),
        20,
        "NoSpace",
        dir.to_str().unwrap(),
    );
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
