//! Ids equal to those a real etcd printed for the same flags.
#![allow(clippy::unwrap_used)]

use super::{InitialCluster, check_self, member_id, member_id_of_texts};
use crate::config::urls::parse_list;
use engine::ids::{ClusterId, MemberId};

#[test]
fn ids_are_those_of_etcd_3_5() {
    let default = InitialCluster::parse("default=http://localhost:2380").unwrap();
    let urls = default.urls_of("default").unwrap();
    assert_eq!(
        member_id(urls, "etcd-cluster", None),
        MemberId(0x8e9e_05c5_2164_694d)
    );
    assert_eq!(
        default.cluster_id("etcd-cluster"),
        ClusterId(0xcdf8_1819_4e3a_8c32)
    );

    let foo = InitialCluster::parse("foo=http://127.0.0.1:23801").unwrap();
    assert_eq!(
        member_id(foo.urls_of("foo").unwrap(), "tok1", None).0,
        0x5485_ed9a_2f08_260c
    );
    assert_eq!(foo.cluster_id("tok1").0, 0xf68a_727a_1795_3d73);
}

#[test]
fn ids_do_not_depend_on_the_order_of_urls_but_on_the_time_added() {
    let one = member_id_of_texts(&["http://a:1", "http://b:2"], "t", None);
    assert_eq!(
        one,
        member_id_of_texts(&["http://b:2", "http://a:1"], "t", None)
    );
    assert_ne!(
        one,
        member_id_of_texts(&["http://a:1", "http://b:2"], "t", Some(1))
    );
}

#[test]
fn a_cluster_reads_and_prints_back() {
    let text = "a=http://h:1,a=http://h:2,b=http://h:3";
    let cluster = InitialCluster::parse("b=http://h:3,a=http://h:2,a=http://h:1").unwrap();
    assert_eq!(cluster.to_string(), text);
    assert_eq!(cluster.members().len(), 2);
    for bad in [
        "",
        "a",
        "=http://h:1",
        "a=h:1",
        "a=http://h:1,,b=http://h:2",
    ] {
        assert!(InitialCluster::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_member_that_is_not_listed_is_told_what_to_change() {
    let cluster = InitialCluster::parse("a=http://h:1").unwrap();
    let urls = parse_list("http://h:1").unwrap();
    assert_eq!(check_self(&cluster, "a", &urls), Ok(()));
    assert!(
        check_self(&cluster, "b", &urls)
            .unwrap_err()
            .contains("--name")
    );
    let other = parse_list("http://h:9").unwrap();
    assert!(
        check_self(&cluster, "a", &other)
            .unwrap_err()
            .contains("make them the same")
    );
}
