//! The damage does what it says.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn damage_hits_the_place_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub");
    fs::create_dir(&path).unwrap();
    let path = path.join("a.wal");
    let mut data = vec![7u8; 5000];
    data.resize(3 << 20, 0);
    fs::write(&path, &data).unwrap();
    assert_eq!(
        files(dir.path(), |n| n.ends_with(".wal")).unwrap(),
        vec![path.clone()]
    );
    assert!(
        files(dir.path(), |n| n.ends_with(".page"))
            .unwrap()
            .is_empty()
    );
    assert_eq!(written_end(&path).unwrap(), 5000);
    assert_eq!(tear_last_write(&path, 100).unwrap(), 4900);
    assert_eq!(written_end(&path).unwrap(), 4900);
    let mut random = Random(1);
    let at = flip_bit(&path, 10, 20, &mut random).unwrap() as usize;
    let now = fs::read(&path).unwrap();
    assert!((10..20).contains(&at));
    assert_eq!((now[at] ^ 7).count_ones(), 1);
    garbage(&path, 8000, 9000, &mut random).unwrap();
    let end = written_end(&path).unwrap();
    assert!((8990..=9000).contains(&end));
}
