//! gRPC codes and what of ours becomes which. `call` puts a [`Status`] into trailers; the API
//! services make them from engine errors. Texts and codes are etcd's (`api/v3rpc/rpctypes`).

use std::borrow::Cow;

use engine::error::Error;

macro_rules! codes {
    ($($number:literal $name:ident $label:literal;)*) => {
        /// A gRPC status code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Code {
            $(#[doc = concat!("Code ", $number, ".")] $name = $number,)*
        }

        impl Code {
            /// All of them, in order.
            pub const ALL: [Code; 17] = [$(Code::$name,)*];

            /// As grpc-go spells it, for metrics and texts.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// The number in decimal, as trailers carry it.
            pub fn digits(self) -> &'static str {
                match self { $(Self::$name => stringify!($number),)* }
            }
        }
    };
}

codes! {
    0 Ok "OK";
    1 Canceled "Canceled";
    2 Unknown "Unknown";
    3 InvalidArgument "InvalidArgument";
    4 DeadlineExceeded "DeadlineExceeded";
    5 NotFound "NotFound";
    6 AlreadyExists "AlreadyExists";
    7 PermissionDenied "PermissionDenied";
    8 ResourceExhausted "ResourceExhausted";
    9 FailedPrecondition "FailedPrecondition";
    10 Aborted "Aborted";
    11 OutOfRange "OutOfRange";
    12 Unimplemented "Unimplemented";
    13 Internal "Internal";
    14 Unavailable "Unavailable";
    15 DataLoss "DataLoss";
    16 Unauthenticated "Unauthenticated";
}

/// Why a call failed, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code; never [`Code::Ok`].
    pub code: Code,
    /// The text; clients of etcd compare it byte for byte.
    pub message: Cow<'static, str>,
}

impl Status {
    /// A failure with this code and text.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// As Go prints a status error, which etcd puts into `cancel_reason` of refused watches.
    pub fn go_text(&self) -> String {
        format!(
            "rpc error: code = {} desc = {}",
            self.code.label(),
            self.message
        )
    }

    /// The text as `grpc-message` carries it: bytes outside printable ASCII, and `%`, in percent
    /// notation.
    pub fn encoded_message(&self) -> Cow<'_, str> {
        percent_encode(&self.message)
    }
}

/// Percent-encodes everything but printable ASCII, and `%` itself.
pub fn percent_encode(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| (0x20..=0x7e).contains(&b) && b != b'%';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() + 16);
    for b in text.bytes() {
        if plain(b) {
            out.push(char::from(b));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
    Cow::Owned(out)
}

/// The code etcd gives each error. For `too many requests` etcd's own table holds the wrong value,
/// so that Unknown reaches the wire; here it is the code that was meant.
pub fn code(error: &Error) -> Code {
    match error {
        Error::EmptyKey
        | Error::KeyNotFound
        | Error::ValueProvided
        | Error::LeaseProvided
        | Error::TooManyOps
        | Error::DuplicateKey
        | Error::InvalidSortOption
        | Error::RequestTooLarge => Code::InvalidArgument,
        Error::Compacted | Error::FutureRevision | Error::LeaseTtlTooLarge => Code::OutOfRange,
        Error::LeaseNotFound => Code::NotFound,
        Error::LeaseExists => Code::FailedPrecondition,
        Error::NoSpace | Error::TooManyRequests => Code::ResourceExhausted,
        Error::Corrupt | Error::Damaged(_) => Code::DataLoss,
        Error::NoLeader | Error::LeaderChanged | Error::Stopped | Error::Timeout => {
            Code::Unavailable
        }
        Error::Storage(_) => Code::Internal,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests;
