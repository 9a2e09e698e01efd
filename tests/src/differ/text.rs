//! Messages as text: protobuf's text form on one line, with long runs of one letter cut short. What
//! a script of the differential test is written in.

use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message;
use prost_reflect::text_format::FormatOptions;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};

/// Runs of one letter from this length on are written `<<x*LENGTH>>`.
const RUN: usize = 48;

/// The RPC behind a path such as `/etcdserverpb.KV/Range`.
fn method(path: &str) -> MethodDescriptor {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        DescriptorPool::decode(proto::DESCRIPTORS).expect("the build wrote the descriptors")
    });
    let mut parts = path.trim_start_matches('/').split('/');
    let (service, name) = (parts.next(), parts.next());
    let service = service.and_then(|s| pool.get_service_by_name(s));
    let found = service.and_then(|s| s.methods().find(|m| Some(m.name()) == name));
    found.expect("paths are written in these tests alone")
}

fn written(shape: MessageDescriptor, message: &[u8]) -> String {
    match DynamicMessage::decode(shape, message) {
        Ok(message) => cut_runs(&message.to_text_format_with_options(&FormatOptions::new())),
        Err(e) => format!("(not readable: {e})"),
    }
}

/// The text of a request to `path`.
#[must_use]
pub fn request(path: &str, message: &impl Message) -> String {
    written(method(path).input(), &message.encode_to_vec())
}

/// The text of an encoded answer from `path`.
#[must_use]
pub fn answer(path: &str, message: &[u8]) -> String {
    written(method(path).output(), message)
}

/// Reads the text of a request to `path`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse<M: Message + Default>(path: &str, text: &str) -> Result<M, String> {
    let text = fill_runs(text)?;
    let read = DynamicMessage::parse_text_format(method(path).input(), &text);
    let message = read.map_err(|e| format!("{text:.200}: {e}"))?;
    M::decode(Bytes::from(message.encode_to_vec())).map_err(|e| e.to_string())
}

fn cut_runs(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(4096));
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let run = bytes.iter().skip(at).take_while(|b| **b == byte).count();
        if run >= RUN && byte.is_ascii_lowercase() {
            out.push_str(&format!("<<{}*{run}>>", char::from(byte)));
        } else {
            // The text form escapes whatever is not ASCII.
            (0..run).for_each(|_| out.push(char::from(byte)));
        }
        at += run;
    }
    out
}

fn fill_runs(text: &str) -> Result<String, String> {
    let mut parts = text.split("<<");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (run, rest) = part.split_once(">>").ok_or("a run without an end")?;
        let (letter, count) = run.split_once('*').ok_or("a run without a length")?;
        out.push_str(&letter.repeat(count.parse().map_err(|e| format!("{run}: {e}"))?));
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::client::pb;

    #[test]
    fn what_is_written_is_read_again() {
        let mut value = vec![b'x'; 100_000];
        value.extend(b"\0\xff\"<<");
        let put = pb::PutRequest {
            key: Bytes::from_static(b"a\"\n\xc3\xa4\0"),
            value: value[..100_003].to_vec().into(),
            lease: -5,
            prev_kv: true,
            ..Default::default()
        };
        let text = request("/etcdserverpb.KV/Put", &put);
        assert!(text.len() < 200, "{text}");
        assert!(text.contains("<<x*100000>>"), "{text}");
        let read: pb::PutRequest = parse("/etcdserverpb.KV/Put", &text).unwrap();
        assert_eq!(read, put);
    }
}
