//! Bits, headers and files that are not what was written: each named.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;

#[test]
fn a_flipped_bit_below_the_tail_is_damage_and_named() {
    let (frames, disk) = test(1, async |disk| {
        era(&disk, 1, 12).await;
        (found(&disk).await.unwrap().frames, disk)
    });
    let last = frames.len() - 1;
    for (at, frame) in frames.iter().enumerate() {
        let offset = u64::from(frame.place.offset);
        let path = path(frame.place.segment);
        for byte in [
            offset - 64,
            offset - 40,
            offset,
            offset + u64::from(frame.place.len) - 1,
        ] {
            disk.flip_bit(&path, byte, 3);
            let result = disk.run(found(&disk)).unwrap();
            if at == last {
                assert_eq!(result.unwrap().frames.len(), last, "the tail is cut");
            } else {
                let Err(WalError::Corrupt {
                    file,
                    offset: named,
                    ..
                }) = result
                else {
                    panic!(
                        "frame {at} byte {byte}: {:?}",
                        result.map(|image| image.frames.len())
                    );
                };
                assert_eq!((&*file, named), (&*path, offset - 64));
            }
            disk.flip_bit(&path, byte, 3);
        }
    }
}

#[test]
fn a_damaged_header_is_survived_once_and_named_twice() {
    test(1, async |disk| {
        era(&disk, 1, 12).await;
        let image = found(&disk).await.unwrap();
        for segment in &image.tail.segments {
            let path = path(segment.number);
            disk.flip_bit(&path, 40, 1);
            assert_eq!(found(&disk).await.unwrap(), image);
            disk.flip_bit(&path, 2048 + 41, 1);
            let error = found(&disk).await.unwrap_err();
            assert!(matches!(&error, WalError::Corrupt { file, offset: 0, .. } if **file == *path));
            disk.flip_bit(&path, 40, 1);
            disk.flip_bit(&path, 2048 + 41, 1);
        }
    });
}

#[test]
fn a_lost_segment_is_named_and_released_ones_are_not_missed() {
    test(1, async |disk| {
        era(&disk, 1, 30).await;
        let image = found(&disk).await.unwrap();
        assert!(image.tail.segments.len() >= 4);
        disk.remove(&path(3)).await.unwrap();
        let error = found(&disk).await.unwrap_err();
        assert_eq!(
            error,
            WalError::LostSegment {
                dir: "wal/lane-00003".into(),
                number: 3
            }
        );
        disk.remove(&path(1)).await.unwrap();
        disk.remove(&path(2)).await.unwrap();
        let rest = found(&disk).await.unwrap();
        let first = image
            .frames
            .iter()
            .position(|frame| frame.place.segment == 4)
            .unwrap();
        assert_eq!(rest.frames[..], image.frames[first..]);
        assert_eq!(rest.tail.last_lsn, Lsn(30));
    });
}

#[test]
fn eras_follow_each_other_and_a_hole_between_them_is_damage() {
    test(1, async |disk| {
        era(&disk, 1, 3).await;
        era(&disk, 4, 5).await;
        era(&disk, 6, 6).await;
        let image = found(&disk).await.unwrap();
        assert_eq!(indexes(&image), (1..=6).collect::<Vec<_>>());
        let eras: Vec<u64> = image.frames.iter().map(|frame| frame.era).collect();
        assert_eq!(eras, [1, 1, 1, 2, 2, 3]);
        assert_eq!(
            (image.tail.era, era_after(std::slice::from_ref(&image))),
            (3, 4)
        );
        // The last frame of the second era: no frame follows it there, but an era does.
        let place = image.frames[4].place;
        disk.flip_bit(&path(place.segment), u64::from(place.offset), 0);
        let error = found(&disk).await.unwrap_err();
        assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(&path(place.segment)), "{error}");
    });
}

#[test]
fn another_identity_and_a_newer_format_are_refused_by_name() {
    test(1, async |disk| {
        era(&disk, 1, 3).await;
        let file = Arc::<str>::from(path(1));
        let other = Identity {
            cluster: ClusterId(5),
            ..ME
        };
        let error = recover(&disk, "wal", other).await.unwrap_err();
        let (own, found) = (5, 0xc1);
        assert_eq!(
            error,
            WalError::OtherCluster {
                file: file.clone(),
                found,
                own
            }
        );
        let other = Identity {
            member: MemberId(6),
            ..ME
        };
        let error = recover(&disk, "wal", other).await.unwrap_err();
        let (own, found) = (6, 0xa1);
        assert_eq!(
            error,
            WalError::OtherMember {
                file: file.clone(),
                found,
                own
            }
        );
        patch(&disk, &path(1), 0, |block| (block[8], block[2056]) = (9, 9)).await;
        let error = recover(&disk, "wal", ME).await.unwrap_err();
        assert_eq!(
            error,
            WalError::NewerFormat {
                file,
                found: 9,
                known: 1
            }
        );
    });
}

#[test]
fn a_segment_cut_short_is_named() {
    test(1, async |disk| {
        era(&disk, 1, 3).await;
        let bytes = disk.open(&path(1), OpenMode::READ).await.unwrap();
        let bytes = bytes.read(0, 8192).await.unwrap();
        disk.remove(&path(1)).await.unwrap();
        let file = disk.open(&path(1), OpenMode::CREATE).await.unwrap();
        let mut buf = file.alloc(8192);
        buf.as_mut().copy_from_slice(&bytes);
        file.write(0, buf).await.unwrap();
        let error = found(&disk).await.unwrap_err();
        let text = format!(
            "{}: offset 8192: the file is shorter than its header says",
            path(1)
        );
        assert_eq!(error.to_string(), text);
    });
}

#[test]
fn a_lost_end_is_named_by_the_files_that_are_prepared_behind_it() {
    test(1, async |disk| {
        era(&disk, 1, 12).await;
        let image = found(&disk).await.unwrap();
        let last = image.tail.segments.last().unwrap().number;
        disk.remove(&path(last)).await.unwrap();
        let error = found(&disk).await.map(|image| image.tail.last_lsn);
        let error = error.unwrap_err();
        let dir = "wal/lane-00003".into();
        assert_eq!(error, WalError::LostSegment { dir, number: last });
        assert!(error.to_string().contains(&path(last)), "{error}");
    });
}

#[test]
fn a_crash_while_prepared_files_are_removed_is_no_lost_end() {
    let mut cut_short = 0;
    for seed in 0..200 {
        let disk = MemoryDisk::new(seed);
        disk.run(era(&disk, 1, 12)).expect("everything waits");
        let whole = disk.run(found(&disk)).unwrap().unwrap().frames.len();
        // What is ready has another size than is wanted now.
        let larger = LaneOptions {
            segment_bytes: small(8).segment_bytes * 2,
            ..small(8)
        };
        disk.crash_at(disk.operations() + 1 + seed % 20);
        let opened = disk.run(open(&disk, larger));
        cut_short += u32::from(opened.is_none());
        disk.crash();
        let again = disk.run(found(&disk)).unwrap();
        let frames = again.map(|image| image.frames.len());
        assert_eq!(frames, Ok(whole), "seed {seed}");
    }
    assert!(cut_short > 50, "only {cut_short} crashes met the opening");
}
