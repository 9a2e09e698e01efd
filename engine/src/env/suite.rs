//! What every [`Disk`] must do, as one run over it. The tests of each disk call it with an empty
//! one; it panics where the disk breaks the contract.

use std::io::ErrorKind;

use super::{Disk, DiskFile, OpenMode};
use crate::limits::BLOCK_BYTES;

/// Runs all checks on an empty disk.
///
/// # Panics
/// Where the disk does not do what [`super::disk`] says.
pub async fn run<D: Disk>(disk: D) {
    files(&disk).await;
    handles(&disk).await;
    modes(&disk).await;
    names(&disk).await;
    directories(&disk).await;
    assert!(
        disk.free_bytes().await.expect("free space is known") > 0,
        "no free space"
    );
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn block<F: DiskFile>(file: &F, blocks: usize, fill: u8) -> F::Buf {
    let mut buf = file.alloc(blocks * BLOCK_BYTES);
    assert_eq!(
        buf.as_ref().len(),
        blocks * BLOCK_BYTES,
        "a buffer of another length"
    );
    assert!(
        buf.as_ref().iter().all(|byte| *byte == 0),
        "a buffer that is not zeroed"
    );
    buf.as_mut().fill(fill);
    buf
}

async fn files<D: Disk>(disk: &D) {
    const BLOCK: u64 = BLOCK_BYTES as u64;
    let file = disk
        .open("a", OpenMode::CREATE)
        .await
        .expect("a file can be created");
    assert_eq!(file.len().await.expect("a length"), 0);
    assert!(
        file.read(0, 10)
            .await
            .expect("reading an empty file")
            .is_empty()
    );
    file.write(0, block(&file, 2, 1)).await.expect("a write");
    file.write(BLOCK, block(&file, 1, 2))
        .await
        .expect("an overwrite");
    file.write(3 * BLOCK, block(&file, 1, 3))
        .await
        .expect("a write past the end");
    file.sync().await.expect("a sync");
    assert_eq!(file.len().await.expect("a length"), 4 * BLOCK);
    let all = file.read(0, 4 * BLOCK_BYTES).await.expect("a read");
    for (at, fill) in [1u8, 2, 0, 3].into_iter().enumerate() {
        let part = &all[at * BLOCK_BYTES..(at + 1) * BLOCK_BYTES];
        assert!(
            part.iter().all(|byte| *byte == fill),
            "block {at} holds something else"
        );
    }
    let across = file.read(BLOCK - 3, 7).await.expect("an unaligned read");
    assert_eq!(&across[..], &[1, 1, 1, 2, 2, 2, 2]);
    let inside = file
        .read(BLOCK + 1001, 1)
        .await
        .expect("an unaligned read in a block");
    assert_eq!(&inside[..], &[2]);
    let wide = file
        .read(BLOCK - 1, 2 * BLOCK_BYTES + 2)
        .await
        .expect("a long unaligned read");
    assert_eq!(
        (wide.len(), wide[0], wide[wide.len() - 1]),
        (2 * BLOCK_BYTES + 2, 1, 3)
    );
    let short = file
        .read(4 * BLOCK - 5, 100)
        .await
        .expect("a read across the end");
    assert_eq!(&short[..], &[3; 5]);
    assert!(
        file.read(4 * BLOCK, 10)
            .await
            .expect("a read at the end")
            .is_empty()
    );
    assert!(
        file.read(40 * BLOCK + 1, 10)
            .await
            .expect("a read past the end")
            .is_empty()
    );
    assert!(file.read(7, 0).await.expect("a read of nothing").is_empty());
}

/// What holds for the buffers and clones of an open file. Goes on with the file of [`files`].
async fn handles<D: Disk>(disk: &D) {
    const BLOCK: u64 = BLOCK_BYTES as u64;
    let file = disk
        .open("a", OpenMode::WRITE)
        .await
        .expect("the file can be opened again");
    let trimmed = file.trim(block(&file, 3, 9), BLOCK_BYTES);
    assert_eq!(
        trimmed.as_ref().len(),
        BLOCK_BYTES,
        "a buffer trimmed to another length"
    );
    file.write(4 * BLOCK, trimmed)
        .await
        .expect("a write of a trimmed buffer");
    assert_eq!(file.len().await.expect("a length"), 5 * BLOCK);
    assert_eq!(file.read(5 * BLOCK - 1, 9).await.expect("a read")[..], [9]);

    let other = file.clone();
    let (left, right) = futures::join!(
        file.write(0, block(&file, 1, 7)),
        other.write(2 * BLOCK, block(&other, 1, 8))
    );
    left.and(right).expect("two writes at once");
    drop(file);
    assert_eq!(
        other.read(2 * BLOCK, 1).await.expect("a read by a clone")[..],
        [8]
    );
}

async fn modes<D: Disk>(disk: &D) {
    let again = disk.open("a", OpenMode::CREATE).await;
    assert_eq!(kind(again), Some(ErrorKind::AlreadyExists), "created twice");
    for mode in [OpenMode::READ, OpenMode::WRITE] {
        let missing = disk.open("missing", mode).await;
        assert_eq!(
            kind(missing),
            Some(ErrorKind::NotFound),
            "opened what is not there"
        );
    }
    let reader = disk
        .open("a", OpenMode::READ)
        .await
        .expect("opening for reading");
    assert_eq!(reader.read(0, 1).await.expect("a read")[..], [7]);
    assert!(
        reader.write(0, block(&reader, 1, 1)).await.is_err(),
        "wrote through a reader"
    );

    let durable = OpenMode {
        write: true,
        create_new: false,
        durable_writes: true,
    };
    let file = disk
        .open("a", durable)
        .await
        .expect("opening for durable writes");
    file.write(0, block(&file, 1, 5))
        .await
        .expect("a durable write");
    assert_eq!(
        reader.read(0, 1).await.expect("a read")[..],
        [5],
        "a stale read"
    );
    let both = OpenMode {
        create_new: true,
        ..durable
    };
    let file = disk
        .open("durable", both)
        .await
        .expect("a new file for durable writes");
    file.write(0, block(&file, 1, 6))
        .await
        .expect("a durable write that extends");
    assert_eq!(file.len().await.expect("a length"), BLOCK_BYTES as u64);
}

async fn names<D: Disk>(disk: &D) {
    let handle = disk.open("a", OpenMode::READ).await.expect("opening");
    disk.rename("a", "b").await.expect("a rename");
    assert_eq!(
        kind(disk.open("a", OpenMode::READ).await),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        handle.read(0, 1).await.expect("a read after the rename")[..],
        [5]
    );
    disk.rename("b", "durable")
        .await
        .expect("a rename over another file");
    let file = disk
        .open("durable", OpenMode::READ)
        .await
        .expect("opening the renamed");
    assert_eq!(
        file.read(0, 1).await.expect("a read")[..],
        [5],
        "the rename did not replace"
    );
    assert_eq!(
        disk.list("").await.expect("a list of the root"),
        ["durable"]
    );
    disk.remove("durable").await.expect("a removal");
    assert_eq!(
        kind(disk.remove("durable").await),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(disk.rename("durable", "x").await),
        Some(ErrorKind::NotFound)
    );
    assert!(disk.list("").await.expect("a list of the root").is_empty());
    disk.sync_dir("").await.expect("a sync of the root");
}

async fn directories<D: Disk>(disk: &D) {
    assert_eq!(
        kind(disk.list("x").await),
        Some(ErrorKind::NotFound),
        "listed nothing"
    );
    let orphan = disk.open("x/y/f", OpenMode::CREATE).await;
    assert_eq!(
        kind(orphan),
        Some(ErrorKind::NotFound),
        "created without a directory"
    );
    disk.make_dir("x/y").await.expect("nested directories");
    disk.make_dir("x/y").await.expect("directories that exist");
    for name in ["x/y/c", "x/y/a", "x/b"] {
        disk.open(name, OpenMode::CREATE)
            .await
            .expect("a file in a directory");
    }
    assert_eq!(disk.list("x").await.expect("a list"), ["b", "y"]);
    assert_eq!(disk.list("x/y").await.expect("a list"), ["a", "c"]);
    disk.rename("x/b", "x/y/b")
        .await
        .expect("a rename into another directory");
    assert_eq!(disk.list("x/y").await.expect("a list"), ["a", "b", "c"]);
    disk.sync_dir("x/y").await.expect("a sync of a directory");
    disk.sync_dir("x").await.expect("a sync of a directory");
}
