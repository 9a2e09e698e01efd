//! What is written is read back, whatever its size; what was changed or cut is refused.
#![allow(clippy::unwrap_used)]

use std::io::{Error, ErrorKind};

use super::*;

impl Source for &[u8] {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).map_err(Error::other)?;
        let end = from.checked_add(into.len());
        let bytes = end.and_then(|end| self.get(from..end));
        into.copy_from_slice(bytes.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

const NAMES: [&[u8]; 3] = [b"a", b"key", b"meta"];
const KEY_MAX: usize = 18;

fn write(trees: [&Pairs; 3]) -> Vec<u8> {
    let sizes: Vec<(&'static [u8], u64)> = NAMES
        .into_iter()
        .zip(trees)
        .map(|(name, pairs)| {
            let mut size = TreeSize::new(KEY_MAX);
            pairs.iter().for_each(|(k, v)| size.add(k.len(), v.len()));
            (name, size.pages())
        })
        .collect();
    let mut writer = Writer::new(&sizes);
    let mut file = Vec::new();
    // In another order than that of the names.
    for place in [1, 0, 2] {
        writer.begin(NAMES[place], KEY_MAX);
        for (key, value) in trees[place] {
            writer.add(key, value);
            while let Some(bytes) = writer.take(2 * PAGE_BYTES, 2 * PAGE_BYTES) {
                file.extend(bytes);
            }
        }
        writer.end();
    }
    writer.finish().unwrap();
    while let Some(bytes) = writer.take(0, 8 * PAGE_BYTES) {
        file.extend(bytes);
    }
    assert_eq!(file.len() as u64, writer.file_bytes());
    file
}

fn read(file: &[u8]) -> Result<Vec<(Vec<u8>, Pairs)>, BoltError> {
    let database = Database::open(file, file.len() as u64)?;
    let mut all = Vec::new();
    for (name, bucket) in database.buckets()? {
        let mut cursor = Cursor::new(&database, &bucket)?;
        let mut pairs = Vec::new();
        while let Some((key, value)) = cursor.next()? {
            pairs.push((key.to_vec(), value.to_vec()));
        }
        all.push((name, pairs));
    }
    Ok(all)
}

/// `count` pairs with values of `value_len` bytes.
fn pairs(count: u32, value_len: impl Fn(u32) -> usize) -> Pairs {
    (0..count)
        .map(|n| {
            let mut key = vec![b'_'; if n.is_multiple_of(3) { 18 } else { 17 }];
            key[4..8].copy_from_slice(&n.to_be_bytes());
            (key, vec![n as u8; value_len(n)])
        })
        .collect()
}

#[test]
fn what_is_written_is_read_back() {
    let fan_out = layout::fan_out(KEY_MAX) as u32;
    // With a value a page, so that the borders of branch pages are met with few pairs.
    let borders = [
        1,
        2,
        fan_out,
        fan_out + 1,
        fan_out + 2,
        fan_out + 3,
        2 * fan_out + 1,
    ];
    for count in borders
        .into_iter()
        .chain([0, 3 * fan_out, fan_out * fan_out + 2])
    {
        let key = pairs(count, |_| 3000);
        let (none, meta) = (Vec::new(), pairs(3, |n| n as usize));
        let file = write([&none, &key, &meta]);
        let all = read(&file).unwrap();
        let names: Vec<&[u8]> = all.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, NAMES);
        assert!(all[0].1.is_empty());
        assert!(all[1].1 == key, "{count} pairs");
        assert!(all[2].1 == meta);
    }
}

#[test]
fn values_larger_than_a_page_are_read_back() {
    let sizes = [
        0, 1, 4000, 4046, 4047, 4048, 4096, 9000, 100_000, 3, 1_500_000, 20,
    ];
    let key = pairs(sizes.len() as u32, |n| sizes[n as usize]);
    let file = write([&Vec::new(), &key, &Vec::new()]);
    assert!(read(&file).unwrap()[1].1 == key);
}

#[test]
fn no_branch_has_one_child() {
    let fan_out = layout::fan_out(KEY_MAX) as u32;
    for count in 2..3 * fan_out {
        let file = write([&Vec::new(), &pairs(count, |_| 3000), &Vec::new()]);
        for page in file.chunks(PAGE_BYTES) {
            let is_branch = u16_at(page, 8) == Some(BRANCH);
            assert!(!is_branch || u16_at(page, 10) >= Some(2), "{count} leaves");
        }
    }
}

#[test]
fn the_meta_page_that_is_sound_counts() {
    let key = pairs(100, |n| n as usize);
    let mut file = write([&Vec::new(), &key, &Vec::new()]);
    file[20] ^= 1;
    assert!(read(&file).unwrap()[1].1 == key, "the second is sound");
    file[PAGE_BYTES + 20] ^= 1;
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains("does not begin as a database"), "{error}");
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let file = write([&Vec::new(), &pairs(500, |n| n as usize), &Vec::new()]);
    for len in (0..file.len()).step_by(511) {
        assert!(read(&file[..len]).is_err(), "cut at {len}");
    }
    let error = read(&file[..file.len() - 1]).unwrap_err().to_string();
    assert!(error.contains("it is cut"), "{error}");
}

/// Damage in values is the hash's to find; here nothing may panic, hang or take memory without
/// bounds, and keys rise in whatever is read.
#[test]
fn a_file_that_was_changed_is_refused_or_read_in_order() {
    let key = pairs(1200, |n| if n == 600 { 9000 } else { n as usize % 50 });
    let file = write([&pairs(2, |_| 1), &key, &pairs(3, |_| 2)]);
    let mut refused = 0;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let mut changed = file.clone();
        // Heads and elements are where it matters: the first bytes of a page.
        let page = (state >> 33) as usize % (file.len() / PAGE_BYTES);
        let at = page * PAGE_BYTES + (state >> 20) as usize % 200;
        changed[at] ^= 1 << (state % 8);
        match read(&changed) {
            Ok(all) => {
                for (_, pairs) in all {
                    assert!(pairs.is_sorted_by(|a, b| a.0 < b.0));
                }
            }
            Err(BoltError::Damaged(what)) => {
                assert!(!what.is_empty());
                refused += 1;
            }
            Err(BoltError::Io(error)) => panic!("a read beyond the file: {error}"),
        }
    }
    assert!(refused > 5000, "{refused} of 20000 were refused");
}

/// A page that names itself or its parent as a child ends the walk.
#[test]
fn a_page_below_itself_is_refused() {
    let mut file = write([&Vec::new(), &pairs(400, |_| 3000), &Vec::new()]);
    let branches: Vec<usize> = (0..file.len() / PAGE_BYTES)
        .filter(|page| u16_at(&file, page * PAGE_BYTES + 8) == Some(BRANCH))
        .collect();
    for page in branches {
        let at = page * PAGE_BYTES + HEAD_BYTES + 8;
        file[at..at + 8].copy_from_slice(&(page as u64).to_le_bytes());
    }
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains("again and again"), "{error}");
}
