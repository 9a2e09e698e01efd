//! Bits that flip on the disk of a stopped server, and a disk without room: found and named, never
//! served; and nothing is lost.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::client::{Client, Status, create, pb, run};
use tests::damage::{files, flip_bit, written_end};
use tests::history::all_keys;
use tests::random::Random;
use tests::skip::skip;
use tests::target::{Kind, Target};

const KEYS: u32 = 400;
const CORRUPTION: i32 = 21;

fn key(n: u32) -> String {
    format!("key/{n:04}")
}

/// A value that tells of which key it is, all over.
fn value(n: u32) -> Bytes {
    key(n).repeat(128).into()
}

/// A stopped server with a checkpoint (pages, index, manifest) and some log behind it.
fn written() -> Target {
    // Each core writes a log.
    let args = ["--cores", "2", "--tuning-profile", "nvme-plp"];
    let mut target = Target::start(Kind::Stoa(2), &args).unwrap().unwrap();
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        for n in 0..KEYS {
            client.put_pair(key(n), value(n)).await.unwrap();
        }
        client.defragment(&pb::DefragmentRequest {}).await.unwrap();
        for n in 0..50 {
            client.put_pair(format!("later/{n}"), "v").await.unwrap();
        }
    });
    target.kill();
    target
}

fn found(target: &Target, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let found = files(&target.data_dir(), wanted).unwrap();
    assert!(
        !found.is_empty(),
        "no such file below {}",
        target.data_dir().display()
    );
    found
}

/// The path as messages have it: below the data directory.
fn relative(target: &Target, path: &Path) -> String {
    let relative = path.strip_prefix(target.data_dir()).unwrap();
    relative.to_str().unwrap().to_owned()
}

/// The server does not start: it says so in one line, with the file and an offset.
fn refuses(target: &mut Target, file: &Path) {
    let name = relative(target, file);
    let (status, text) = target.refused().unwrap();
    assert_eq!(status.code(), Some(CORRUPTION), "{text}");
    let start = format!("stoa: Corruption (exit code {CORRUPTION}): ");
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with(&start)).collect();
    assert_eq!(lines.len(), 1, "one line {start:?} in {text}");
    assert!(lines[0].contains(&name), "{name} in {}", lines[0]);
    assert!(lines[0].contains("offset"), "{}", lines[0]);
}

#[test]
fn a_damaged_superblock_is_named() {
    let mut target = written();
    let file = found(&target, |name| name == "SUPERBLOCK").remove(0);
    flip_bit(&file, 0, 150, &mut Random(1)).unwrap();
    refuses(&mut target, &file);
}

#[test]
fn data_without_its_superblock_is_not_taken_for_a_new_directory() {
    let mut target = written();
    let superblock = found(&target, |name| name == "SUPERBLOCK").remove(0);
    std::fs::remove_file(&superblock).unwrap();
    // Whatever is left of the data is enough to see that there was some.
    for (dir, says) in [
        ("wal", "wal/lane-00000"),
        ("checkpoint", "checkpoint/MANIFEST"),
        ("pages", ".pages"),
    ] {
        let (status, text) = target.refused().unwrap();
        assert_eq!(status.code(), Some(CORRUPTION), "{text}");
        let start = format!("stoa: Corruption (exit code {CORRUPTION}): corruption: SUPERBLOCK: ");
        let last = text.lines().rfind(|line| line.starts_with(&start)).unwrap();
        assert!(last.contains(says), "{says} in {text}");
        assert!(last.contains("--data-dir"), "what to do: {last}");
        assert!(!superblock.exists(), "nothing is made anew");
        std::fs::remove_dir_all(target.data_dir().join(dir)).unwrap();
    }
    target.restart().unwrap();
}

#[test]
fn a_damaged_manifest_is_named() {
    let mut target = written();
    let file = found(&target, |name| name == "MANIFEST").remove(0);
    flip_bit(&file, 0, 150, &mut Random(2)).unwrap();
    refuses(&mut target, &file);
}

#[test]
fn a_damaged_index_is_named() {
    let mut target = written();
    let file = found(&target, |name| name.ends_with(".index")).remove(0);
    let end = written_end(&file).unwrap();
    flip_bit(&file, 4096, end, &mut Random(3)).unwrap();
    refuses(&mut target, &file);
}

#[test]
fn a_damaged_log_is_named() {
    let mut target = written();
    let all = found(&target, |name| name.ends_with(".seg"));
    let file = all
        .into_iter()
        .max_by_key(|path| written_end(path).unwrap())
        .unwrap();
    // Well before the tail, in a frame (padding follows it up to the block): later frames say
    // that this one was durable.
    flip_bit(&file, 8 * 4096 + 44, 8 * 4096 + 60, &mut Random(4)).unwrap();
    refuses(&mut target, &file);
}

#[test]
fn a_missing_end_of_the_log_is_named() {
    // Lane 1 holds nothing of the log but this: it would pass for one that was never written to.
    let mut target = written();
    let lane = target.data_dir().join("wal/lane-00001");
    let begun = files(&lane, |name| name.ends_with(".seg")).unwrap();
    let file = begun
        .into_iter()
        .max_by_key(|path| written_end(path).unwrap())
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    refuses(&mut target, &file);
}

/// A segment that was begun after the last checkpoint, which does not name it: the files that were
/// prepared to follow it do.
#[test]
fn a_missing_end_of_the_log_behind_the_checkpoint_is_named() {
    let mut target = written();
    // Each opening begins a segment of its own.
    target.restart().unwrap();
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        client.put_pair("acknowledged", "v").await.unwrap();
    });
    let lane = target.data_dir().join("wal/lane-00000");
    let segments = || files(&lane, |name| name.ends_with(".seg")).unwrap();
    let is_begun = |path: &&PathBuf| written_end(path).unwrap() > 0;
    // The next ones are prepared while the server runs.
    let began = Instant::now();
    while segments()
        .iter()
        .rev()
        .take_while(|path| !is_begun(path))
        .count()
        == 0
    {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "none is prepared"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    target.kill();
    let all = segments();
    let last = all.iter().rfind(is_begun).unwrap();
    std::fs::remove_file(last).unwrap();
    let (status, text) = target.refused().unwrap();
    assert_eq!(status.code(), Some(CORRUPTION), "{text}");
    let start = format!("stoa: Corruption (exit code {CORRUPTION}): ");
    let line = text.lines().find(|line| line.starts_with(&start));
    let name = relative(&target, last);
    assert!(
        line.is_some_and(|line| line.contains(&name)),
        "{name} in {text}"
    );
}

#[test]
fn a_missing_page_file_is_named() {
    let mut target = written();
    let file = found(&target, |name| name.ends_with(".pages")).remove(0);
    std::fs::remove_file(&file).unwrap();
    let name = relative(&target, &file);
    let (status, text) = target.refused().unwrap();
    assert_eq!(status.code(), Some(CORRUPTION), "{text}");
    assert!(text.contains(&name), "{name} in {text}");
}

/// The data loss error of an answer, which names the file.
fn names(error: &Status, file: &str) {
    assert_eq!(error.code, 15, "{error}");
    assert!(error.message.contains(file), "{file} in {error}");
    assert!(error.message.contains("offset"), "{error}");
}

#[test]
fn a_damaged_page_is_never_served() {
    let mut target = written();
    let file = found(&target, |name| name.ends_with(".pages")).remove(0);
    let end = written_end(&file).unwrap();
    flip_bit(&file, end / 2, end / 2 + 2000, &mut Random(5)).unwrap();
    let name = relative(&target, &file);
    target.restart().unwrap();
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        let (mut sound, mut damaged) = (0, 0);
        for n in 0..KEYS {
            match client.get(key(n), "").await {
                Ok(answer) => {
                    assert_eq!(answer.kvs[0].value, value(n), "wrong data");
                    sound += 1;
                }
                Err(error) => {
                    names(&error, &name);
                    damaged += 1;
                }
            }
        }
        assert!(damaged > 0, "the flipped bit was not read");
        assert!(
            sound > damaged,
            "one page is damaged, {damaged} of {KEYS} cannot be read"
        );
        let error = client.get("key/", "key0").await.unwrap_err();
        names(&error, &name);
        // A watch through the damaged page ends with the reason.
        let (mut requests, mut responses) = client.watch().await.unwrap();
        requests.send(&create(all_keys(2))).unwrap();
        let limit = Duration::from_secs(30);
        let canceled = loop {
            let response = responses.next_within(limit).await.unwrap();
            let response = response.expect("a word on the damage, not silence");
            if response.canceled {
                break response;
            }
        };
        assert!(canceled.cancel_reason.contains(&name), "{canceled:?}");
        // What is sound is served, and writes go on; also after the page was to be rewritten.
        client.defragment(&pb::DefragmentRequest {}).await.unwrap();
        client.put_pair("after", "v").await.unwrap();
        assert_eq!(client.get("after", "").await.unwrap().count, 1);
        let error = client.get("key/", "key0").await.unwrap_err();
        assert_eq!(error.code, 15, "{error}");
    });
}

/// A small file system in a file, unmounted when dropped.
struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// `None` where this user may not mount.
    fn new(home: &Path, mib: u32) -> Option<SmallDisk> {
        let (image, dir) = (home.join("disk.img"), home.join("disk"));
        std::fs::create_dir(&dir).unwrap();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(u64::from(mib) << 20).unwrap();
        let ran =
            |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = ran(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(&image))
            && ran(Command::new("mount")
                .args(["-o", "loop"])
                .arg(&image)
                .arg(&dir));
        made.then_some(SmallDisk { dir })
    }

    /// Takes all that is left but `spare_mib`.
    fn fill(&self, spare_mib: u64) {
        let ballast = std::fs::File::create(self.dir.join("ballast")).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&ballast);
        let mut len = 0;
        for piece in [16 << 20, 1 << 20, 64 << 10, 4096] {
            // SAFETY: fallocate takes a descriptor that is open and two numbers.
            while unsafe { libc::fallocate(fd, 0, len, piece) } == 0 {
                len += piece;
            }
        }
        let keep = u64::try_from(len).unwrap().saturating_sub(spare_mib << 20);
        ballast.set_len(keep).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.dir.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let mut target = Target::prepare(Kind::Stoa(1), &[]).unwrap().unwrap();
    let Some(disk) = SmallDisk::new(target.home(), 320) else {
        return skip("mounting a small file system needs root");
    };
    let data = disk.dir.join("data");
    target.set_extra(&["--cores", "1", "--data-dir", data.to_str().unwrap()]);
    target.restart().unwrap();
    let mut written: Vec<(String, i64)> = Vec::new();
    let large = Bytes::from(vec![b'x'; 256 << 10]);
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        client.put_pair("first", large.clone()).await.unwrap();
        disk.fill(4);
        let refused = loop {
            let key = format!("large/{}", written.len());
            match client.put_pair(key.clone(), large.clone()).await {
                Ok(answer) => written.push((key, answer.header.unwrap().revision)),
                Err(error) => break error,
            }
            assert!(written.len() < 4000, "a gigabyte on a disk of 320 MiB");
        };
        assert_eq!(refused.message, "etcdserver: mvcc: database space exceeded");
        assert_eq!(refused.code, 8);
        check_large(&client, &written, &large).await;
        disk.make_room();
        // The same process takes writes again, when it has looked.
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match client.put_pair("room", "again").await {
                Ok(_) => break,
                Err(error) => assert!(Instant::now() < end, "room, but {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        check_large(&client, &written, &large).await;
    });
    target.restart().unwrap();
    run(async {
        let client = Client::connect(target.addr()).await.unwrap();
        check_large(&client, &written, &large).await;
        assert_eq!(client.get("room", "").await.unwrap().count, 1);
    });
    target.kill();
}

async fn check_large(client: &Client, written: &[(String, i64)], large: &Bytes) {
    for (key, revision) in written {
        let answer = client.get(key.as_str(), "").await.unwrap();
        let kv = answer
            .kvs
            .first()
            .unwrap_or_else(|| panic!("{key} is lost"));
        assert!(kv.mod_revision == *revision && kv.value == *large, "{key}");
    }
    let all = client.get("large/", "large0").await.unwrap();
    assert_eq!(
        all.count,
        written.len() as i64,
        "nothing but what was acknowledged"
    );
}
