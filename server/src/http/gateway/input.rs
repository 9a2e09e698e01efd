//! The messages of a request whose body may still be coming: each is found when its last byte is
//! there. etcd takes them so, too, but gives no answer before the body has ended; here answers
//! come at once.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::json::Values;
use crate::http::body::Body;

/// What comes next of an input.
#[derive(Debug)]
pub enum Next {
    /// A JSON value.
    Value(Value),
    /// What is no JSON, and why. Nothing comes after it.
    Malformed(String),
    /// It has not come yet.
    NotYet,
    /// There is no more.
    End,
}

/// A body and what was taken of it.
#[derive(Debug)]
pub struct Input {
    body: Body,
    text: BytesMut,
    scan: Scan,
    /// Largest value.
    value_max: usize,
    /// What is left once the body has ended.
    rest: Option<Values>,
}

impl Input {
    /// The values that begin with `text` and go on in `body`; each may have `value_max` bytes.
    pub fn new(text: Bytes, body: Body, value_max: usize) -> Self {
        Self {
            body,
            text: BytesMut::from(text),
            scan: Scan::default(),
            value_max,
            rest: None,
        }
    }

    /// Takes what is there of the body off the front of `buf`; whether anything was.
    ///
    /// # Errors
    /// The body is not well formed.
    pub fn take(&mut self, buf: &mut BytesMut) -> Result<bool, String> {
        let before = buf.len();
        let room = self.value_max.saturating_sub(self.text.len());
        let taken = self.body.take(buf, &mut self.text, room);
        taken.map_err(|_| "the chunks of the body are not well formed".to_owned())?;
        Ok(buf.len() < before)
    }

    /// The next value.
    pub fn next(&mut self) -> Next {
        if self.rest.is_none()
            && let Some(len) = self.scan.end(&self.text)
        {
            self.scan = Scan::default();
            let value = self.text.split_to(len).freeze();
            return found(&mut Values::new(value));
        }
        if self.body.is_ended() {
            let text = std::mem::take(&mut self.text).freeze();
            return found(self.rest.get_or_insert_with(|| Values::new(text)));
        }
        match self.text.len() >= self.value_max {
            true => Next::Malformed("the message is too large".to_owned()),
            false => Next::NotYet,
        }
    }
}

fn found(values: &mut Values) -> Next {
    match values.next() {
        Ok(Some(value)) => Next::Value(value),
        Ok(None) => Next::End,
        Err(error) => Next::Malformed(error),
    }
}

/// Looks for the end of a JSON object or list, each byte once.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

impl Scan {
    /// Where the first value of `text` ends, if it does. Messages are objects: what else begins
    /// there is taken for a value at once, and refused by whoever reads it.
    fn end(&mut self, text: &[u8]) -> Option<usize> {
        while let Some(&byte) = text.get(self.at) {
            self.at += 1;
            if self.is_in_string {
                self.is_in_string = self.is_escaped || byte != b'"';
                self.is_escaped = !self.is_escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' if self.depth > 0 => self.is_in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.depth == 0 => return Some(text.len()),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
