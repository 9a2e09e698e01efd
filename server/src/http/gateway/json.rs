//! Protobuf messages as JSON and back, by their descriptors: 64-bit numbers as strings, bytes in
//! base64, enumerations by name, fields under their names in the `.proto` files, and none that
//! have their default. Read with the tolerance of protobuf's own mapping.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    Value as Field,
};
use serde_json::Value;

use crate::grpc::Method;

/// Both alphabets of base64, with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The messages that an RPC takes and gives.
#[derive(Clone, Debug)]
pub struct Shape {
    input: MessageDescriptor,
    output: MessageDescriptor,
}

impl Shape {
    /// The shape of a method, which the `.proto` files have.
    pub fn of(method: Method) -> Option<Self> {
        static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
        let pool = POOL.get_or_init(|| DescriptorPool::decode(proto::DESCRIPTORS).ok());
        let service = pool.as_ref()?.get_service_by_name(method.service())?;
        let rpc = service.methods().find(|rpc| rpc.name() == method.name())?;
        Some(Self {
            input: rpc.input(),
            output: rpc.output(),
        })
    }

    /// The encoded request that stands in a JSON object.
    ///
    /// # Errors
    /// What does not fit the message, and where.
    pub fn read(&self, json: &Value) -> Result<Vec<u8>, String> {
        Ok(object(&self.input, json)?.encode_to_vec())
    }

    /// An encoded answer as JSON.
    ///
    /// # Errors
    /// The answer is not of this shape.
    pub fn write(&self, answer: Bytes) -> Result<Vec<u8>, String> {
        let message = DynamicMessage::decode(self.output.clone(), answer);
        let mut out = Vec::new();
        write_message(&mut out, &message.map_err(|error| error.to_string())?);
        Ok(out)
    }
}

fn object(shape: &MessageDescriptor, json: &Value) -> Result<DynamicMessage, String> {
    let Value::Object(members) = json else {
        return Err(mismatch(json, shape.name()));
    };
    let mut message = DynamicMessage::new(shape.clone());
    for (name, value) in members {
        let by_name = shape.get_field_by_name(name);
        // What is unknown is passed over, as in etcd; null is a field not set.
        let Some(field) = by_name.or_else(|| shape.get_field_by_json_name(name)) else {
            continue;
        };
        if value.is_null() {
            continue;
        }
        if let Some(one_of) = field.containing_oneof()
            && one_of.fields().any(|other| message.has_field(&other))
        {
            return Err(format!("oneof {} is already set", one_of.full_name()));
        }
        let value = member(&field, value).map_err(|error| format!("{name}: {error}"))?;
        message.set_field(&field, value);
    }
    Ok(message)
}

fn member(field: &FieldDescriptor, json: &Value) -> Result<Field, String> {
    let kind = field.kind();
    if !field.is_list() {
        return single(&kind, json);
    }
    let Value::Array(elements) = json else {
        return Err(mismatch(json, "a list"));
    };
    let elements = elements.iter().map(|json| single(&kind, json));
    Ok(Field::List(elements.collect::<Result<_, _>>()?))
}

fn single(kind: &Kind, json: &Value) -> Result<Field, String> {
    Ok(match kind {
        Kind::Bool => Field::Bool(json.as_bool().ok_or_else(|| mismatch(json, "a bool"))?),
        Kind::Int32 => Field::I32(number(json)?),
        Kind::Int64 => Field::I64(number(json)?),
        Kind::Uint32 => Field::U32(number(json)?),
        Kind::Uint64 => Field::U64(number(json)?),
        Kind::String => Field::String(text(json, "a string")?.to_owned()),
        Kind::Bytes => Field::Bytes(bytes(text(json, "base64")?)?),
        Kind::Enum(names) => Field::EnumNumber(choice(names, json)?),
        Kind::Message(shape) => Field::Message(object(shape, json)?),
        other => {
            return Err(format!(
                "fields of kind {other:?} are not in etcd's messages"
            ));
        }
    })
}

/// A whole number, as such, with a fraction of zero, or as a string.
fn number<N: TryFrom<i128>>(json: &Value) -> Result<N, String> {
    /// Above this a floating-point number says no certain integer.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let wrong = || mismatch(json, "a whole number in range");
    let number = match json {
        Value::String(digits) => digits.parse().map_err(|_| wrong())?,
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), ..) => i128::from(n),
            (_, Some(n), _) => i128::from(n),
            (.., Some(n)) if n.fract() == 0.0 && n.abs() <= EXACT_MAX => n as i128,
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    };
    N::try_from(number).map_err(|_| wrong())
}

fn text<'a>(json: &'a Value, wanted: &str) -> Result<&'a str, String> {
    json.as_str().ok_or_else(|| mismatch(json, wanted))
}

fn bytes(text: &str) -> Result<Bytes, String> {
    let is_other = text.contains(['-', '_']);
    let decoded = if is_other {
        LENIENT.decode(text.replace('-', "+").replace('_', "/"))
    } else {
        LENIENT.decode(text)
    };
    let wrong = |error| format!("illegal base64 data: {error}");
    Ok(decoded.map_err(wrong)?.into())
}

fn choice(names: &EnumDescriptor, json: &Value) -> Result<i32, String> {
    let Value::String(name) = json else {
        return number(json);
    };
    let unknown = || format!("unknown value {name:?} for enum {}", names.full_name());
    let found = names.get_value_by_name(name).ok_or_else(unknown)?;
    Ok(found.number())
}

fn mismatch(json: &Value, wanted: &str) -> String {
    let found = match json {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("{found} where {wanted} was expected")
}

fn write_message(out: &mut Vec<u8>, message: &DynamicMessage) {
    out.push(b'{');
    let mut is_first = true;
    for (field, value) in message.fields() {
        if !message.has_field(&field) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        write_text(out, field.name());
        out.push(b':');
        write_value(out, &field.kind(), value);
    }
    out.push(b'}');
}

fn write_value(out: &mut Vec<u8>, kind: &Kind, value: &Field) {
    match value {
        Field::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Field::I32(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Field::U32(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Field::I64(value) => write_text(out, &value.to_string()),
        Field::U64(value) => write_text(out, &value.to_string()),
        Field::String(value) => write_text(out, value),
        Field::Bytes(value) => write_text(out, &BASE64_STANDARD.encode(value)),
        Field::EnumNumber(number) => {
            let names = kind.as_enum();
            match names.and_then(|names| names.get_value(*number)) {
                Some(value) => write_text(out, value.name()),
                None => out.extend_from_slice(number.to_string().as_bytes()),
            }
        }
        Field::Message(message) => write_message(out, message),
        Field::List(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(out, kind, element);
            }
            out.push(b']');
        }
        // Not in etcd's messages.
        Field::F32(_) | Field::F64(_) | Field::Map(_) => out.extend_from_slice(b"null"),
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(Value::from(text).to_string().as_bytes());
}

/// JSON values one after another.
#[derive(Debug)]
pub struct Values {
    text: Bytes,
    at: usize,
}

impl Values {
    /// The values in `text`.
    pub fn new(text: Bytes) -> Self {
        Self { text, at: 0 }
    }

    /// The next of them; none at the end.
    ///
    /// # Errors
    /// It is no JSON. Nothing comes after that.
    pub fn next(&mut self) -> Result<Option<Value>, String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
        let next = values.next();
        match next {
            None => Ok(None),
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(Some(value))
            }
            Some(Err(error)) => {
                self.at = self.text.len();
                Err(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests;
