//! What the gateway says of failures, and of the messages of a stream. Both spellings that
//! grpc-gateway has had are given, so that clients of older and newer etcd find theirs.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::json::Shape;
use crate::grpc::{Code, Kind, Status};

/// A request that is no JSON, or not of its message's shape. Where many may come, etcd's gateway
/// gives the reader's error no code.
pub fn malformed(kind: Kind, error: String) -> Status {
    let code = match kind {
        Kind::Unary | Kind::ServerStream => Code::InvalidArgument,
        Kind::Bidi => Code::Unknown,
    };
    Status::new(code, error)
}

/// An answer that is not of its message's shape: our own bug.
pub fn internal(error: String) -> Status {
    Status::new(Code::Internal, error)
}

/// The HTTP status of a gRPC one, as grpc-gateway maps them.
pub fn http(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Canceled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body of a failed request.
pub fn error(status: &Status) -> Vec<u8> {
    let (code, text) = (status.code as u8, json!(&*status.message));
    // In etcd's order. There are no `details`: etcd's errors have none, and its gateway leaves out
    // what is empty.
    format!(r#"{{"error":{text},"code":{code},"message":{text}}}"#).into_bytes()
}

/// The line that ends a stream that failed.
pub fn stream_error(status: &Status) -> Vec<u8> {
    let (code, http) = (status.code as u8, http(status.code));
    let body = json!({ "error": {
        "code": code,
        "grpc_code": code,
        "http_code": http.as_u16(),
        "message": &*status.message,
        "http_status": http.canonical_reason().unwrap_or_default(),
    }});
    body.to_string().into_bytes()
}

/// The line of a stream's message.
///
/// # Errors
/// It is not of this shape.
pub fn result(shape: &Shape, message: Option<Bytes>) -> Result<Option<Vec<u8>>, Status> {
    let Some(message) = message else {
        return Ok(None);
    };
    let answer = shape.write(message).map_err(internal)?;
    Ok(Some([b"{\"result\":", &answer[..], b"}"].concat()))
}
