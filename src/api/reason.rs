//! Reasons on the wire: one mapping to a gRPC status, one back.

use crate::model::reason::Reason;
use tonic::{Code, Status};

/// The metadata key that holds the stable word.
pub const KEY: &str = "k3c-reason";

/// A refusal, for the wire. `message` is Docker's text.
pub fn status(reason: Reason, message: impl Into<String>) -> Status {
    let mut status = Status::new(code(reason), message);
    status.metadata_mut().insert(KEY, tonic::metadata::MetadataValue::from_static(reason.as_str()));
    status
}

/// The reason of a status; `None` when it is not one of ours (a proxy's, the transport's).
pub fn of(status: &Status) -> Option<Reason> {
    let word = status.metadata().get(KEY)?.to_str().ok()?;
    Some(Reason::parse(word).unwrap_or_else(|| from_code(status.code())))
}

/// The reason of a status without a stable word.
pub fn from_code(code: Code) -> Reason {
    match code {
        Code::NotFound => Reason::NotFound,
        Code::AlreadyExists => Reason::AlreadyExists,
        Code::FailedPrecondition | Code::Aborted => Reason::Conflict,
        Code::InvalidArgument | Code::OutOfRange => Reason::InvalidArgument,
        Code::Unavailable => Reason::Unavailable,
        Code::Cancelled => Reason::Cancelled,
        Code::DeadlineExceeded => Reason::Timeout,
        Code::Unauthenticated => Reason::Unauthorized,
        Code::PermissionDenied => Reason::PermissionDenied,
        Code::Unimplemented => Reason::Unsupported,
        Code::Ok | Code::Unknown | Code::ResourceExhausted | Code::Internal | Code::DataLoss => {
            Reason::Internal
        }
    }
}

fn code(reason: Reason) -> Code {
    match reason {
        Reason::NotFound => Code::NotFound,
        Reason::AlreadyExists => Code::AlreadyExists,
        Reason::Conflict | Reason::NotRunning | Reason::InUse => Code::FailedPrecondition,
        Reason::CommandNotFound | Reason::CommandNotExecutable | Reason::InvalidArgument => {
            Code::InvalidArgument
        }
        Reason::Unavailable => Code::Unavailable,
        Reason::Cancelled => Code::Cancelled,
        Reason::Timeout => Code::DeadlineExceeded,
        Reason::Unauthorized => Code::Unauthenticated,
        Reason::PermissionDenied => Code::PermissionDenied,
        Reason::Unsupported => Code::Unimplemented,
        Reason::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for reason in Reason::ALL {
            let headers = {
                let mut headers = http::HeaderMap::new();
                status(reason, "No such container: ä\nb").add_header(&mut headers).unwrap();
                headers
            };
            let back = Status::from_header_map(&headers).unwrap();
            assert_eq!(of(&back), Some(reason));
            assert_eq!(back.message(), "No such container: ä\nb");
        }
    }

    #[test]
    fn an_unknown_word_falls_back_to_the_code() {
        let mut newer = Status::not_found("x");
        newer.metadata_mut().insert(KEY, "something-new".parse().unwrap());
        assert_eq!(of(&newer), Some(Reason::NotFound));
        assert_eq!(of(&Status::not_found("x")), None);
    }
}
