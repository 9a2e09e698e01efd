//! Equals may change places and nothing else may.

use super::*;

fn kv(key: &'static str, version: i64, value: &'static str) -> pb::KeyValue {
    pb::KeyValue {
        key: key.into(),
        version,
        value: value.into(),
        ..Default::default()
    }
}

fn settled(target: SortTarget, more: bool, kvs: &[pb::KeyValue]) -> Vec<pb::KeyValue> {
    let request = pb::RangeRequest {
        sort_target: target.into(),
        ..Default::default()
    };
    let kvs = kvs.to_vec();
    let mut response = pb::RangeResponse {
        kvs,
        more,
        ..Default::default()
    };
    settle(&request, &mut response);
    response.kvs
}

#[test]
fn only_equals_change_places() {
    let (a, b, c) = (kv("a", 2, "x"), kv("b", 2, "y"), kv("c", 1, "z"));
    let version = SortTarget::Version;
    let one = settled(version, false, &[b.clone(), a.clone(), c.clone()]);
    let other = settled(version, false, &[a.clone(), b.clone(), c.clone()]);
    assert_eq!(one, other);
    let wrong = settled(version, false, &[c, a.clone(), b.clone()]);
    assert_ne!(wrong, other);
    let by_key = settled(SortTarget::Key, false, &[b, a]);
    assert_eq!(by_key[0].key, "b");
}

#[test]
fn where_a_limit_cuts_any_equal_will_do() {
    let (a, b, c) = (kv("a", 1, "x"), kv("b", 2, "y"), kv("c", 2, "z"));
    let version = SortTarget::Version;
    let one = settled(version, true, &[a.clone(), b.clone()]);
    assert_eq!(one, settled(version, true, &[a.clone(), c.clone()]));
    assert_ne!(one, settled(version, true, &[b, c]));
    assert_ne!(one, settled(version, true, &[a]));
}
