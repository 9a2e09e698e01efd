//! Headers in, meaning out.
#![allow(clippy::unwrap_used)]

use super::*;

fn parse(pairs: &[(&'static str, &'static [u8])]) -> Result<Metadata, Refusal> {
    let fields = pairs.iter().map(|(n, v)| Field::new(n.as_bytes(), v));
    let grpc = Field::new(b"content-type", b"application/grpc");
    Metadata::parse(std::iter::once(grpc).chain(fields), None, 1000)
}

#[test]
fn token_comes_from_either_header() {
    assert_eq!(parse(&[]).unwrap().token(), None);
    assert_eq!(parse(&[("token", b"t.1")]).unwrap().token(), Some("t.1"));
    assert_eq!(
        parse(&[("authorization", b"Bearer j")]).unwrap().token(),
        Some("j")
    );
    assert_eq!(
        parse(&[("authorization", b"raw")]).unwrap().token(),
        Some("raw")
    );
    let both = parse(&[("authorization", b"a"), ("token", b"t")]).unwrap();
    assert_eq!(both.token(), Some("t"));
}

#[test]
fn a_time_limit_becomes_a_deadline() {
    let at = |v| parse(&[("grpc-timeout", v)]).map(|m| m.deadline_ns);
    assert_eq!(at(b"5m").unwrap(), Some(5_001_000));
    assert_eq!(at(b"2S").unwrap(), Some(2_000_001_000));
    assert_eq!(at(b"0n").unwrap(), Some(1000));
    assert_eq!(at(b"99999999H").unwrap(), Some(u64::MAX));
    for bad in [&b"5"[..], b"m", b"", b"123456789n", b"1x", b"-1m", b"1.5S"] {
        assert_eq!(at(bad).unwrap_err().status.code, Code::Internal, "{bad:?}");
    }
}

#[test]
fn only_grpc_content_types_pass() {
    let of = |v: &'static str| {
        let field = Field::new(b"content-type", v.as_bytes());
        let parsed = Metadata::parse([field].into_iter(), None, 0);
        parsed.err().map(|r| r.http)
    };
    for good in [
        "application/grpc",
        "application/grpc+proto",
        "Application/GRPC;x=y",
    ] {
        assert_eq!(of(good), None, "{good}");
    }
    for bad in [
        "application/json",
        "application/grpc-web",
        "application/grp",
        "",
    ] {
        assert_eq!(of(bad), Some(415), "{bad}");
    }
    let none = Metadata::parse(std::iter::empty(), None, 0);
    assert_eq!(none.unwrap_err().http, 415);
}

#[test]
fn encodings_other_than_identity_are_refused() {
    assert!(parse(&[("grpc-encoding", b"identity")]).is_ok());
    let refusal = parse(&[("grpc-encoding", b"gzip")]).unwrap_err();
    assert_eq!(refusal.status.code, Code::Unimplemented);
    assert_eq!(
        refusal.status.message,
        "grpc: Decompressor is not installed for grpc-encoding \"gzip\""
    );
}

#[test]
fn etcds_own_headers_are_read() {
    let meta = parse(&[("hasleader", b"true"), ("client-api-version", b"3.6")]).unwrap();
    assert!(meta.require_leader);
    assert_eq!(meta.client_api_version.as_deref(), Some("3.6"));
    assert!(!parse(&[("hasleader", b"yes")]).unwrap().require_leader);
    let refusal = parse(&[("client-api-version", b"\xff\xfe")]).unwrap_err();
    assert_eq!(
        refusal.status.message,
        "etcdserver: invalid client api version"
    );
}

#[test]
fn mutated_headers_never_panic_and_pass_only_as_grpc() {
    let good = [
        ("content-type", "application/grpc+proto"),
        ("grpc-timeout", "99999999S"),
        ("grpc-encoding", "identity"),
        ("token", "simple.token"),
        ("authorization", "Bearer abc"),
        ("hasleader", "true"),
        ("client-api-version", "3.7"),
    ];
    let mut dice = crate::testing::Dice(6);
    let mut passed = 0;
    for case in 0..20_000 {
        let mut fields = Vec::new();
        for (name, value) in good {
            let value = match dice.below(4) {
                0 => dice.mutate(value.as_bytes()),
                _ => value.as_bytes().to_vec(),
            };
            fields.push((name, value));
        }
        let list = fields.iter().map(|(n, v)| Field::new(n.as_bytes(), v));
        let Ok(meta) = Metadata::parse(list, None, case) else {
            continue;
        };
        passed += 1;
        let content_type = &fields[0].1;
        assert!(
            content_type
                .to_ascii_lowercase()
                .starts_with(b"application/grpc")
        );
        assert!(meta.deadline_ns.is_none_or(|at| at >= case));
        let _ = meta.token();
    }
    assert!(passed > 1000, "{passed}: too wild to test anything");
}
