//! Attached streams: frames of `model::attach` as messages.

use super::Invalid;
use super::spec::{terminal_size, terminal_size_to};
use crate::model::attach::{Frame, Hello, RunStep, VERSION, Welcome};
use crate::model::container::ExecSpec;
use crate::model::id::ContainerId;
use crate::proto::k3c::v1 as wire;
use wire::attach_request::Part as Request;
use wire::attach_response::Part as Response;
use wire::run_request::Part as RunRequest;
use wire::run_response::Part as RunResponse;

fn stream(number: u32) -> Result<u8, Invalid> {
    u8::try_from(number)
        .ok()
        .filter(|s| *s < 2)
        .ok_or_else(|| Invalid::new("stream", format_args!("{number} is neither 0 nor 1")))
}

/// `Hello` has the container as the user named it.
impl TryFrom<wire::AttachRequest> for Frame {
    type Error = Invalid;

    fn try_from(request: wire::AttachRequest) -> Result<Self, Invalid> {
        let size = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        Ok(match request.part.ok_or_else(|| Invalid::new("part", "missing"))? {
            Request::Open(open) if open.session.is_empty() => {
                return Err(Invalid::new("open.session", "must not be empty"));
            }
            Request::Open(open) => Self::Hello(Hello {
                version: VERSION,
                container: open.container,
                exec: open.exec,
                session: open.session,
                starter: open.starter,
                stdout: open.stdout,
                stderr: open.stderr,
                from: open.from.map(|from| [from.stdout, from.stderr]),
            }),
            Request::Input(input) => Self::Typed { offset: input.offset, data: input.data },
            Request::InputEnd(_) => Self::TypedEnd,
            Request::Size(s) => Self::Resize { columns: size(s.columns), rows: size(s.rows) },
            Request::Seen(seen) => Self::Seen { stream: stream(seen.stream)?, offset: seen.offset },
            Request::Leave(_) => Self::Bye,
        })
    }
}

/// A client's request for a frame; `None` for frames that only a shim sends.
pub fn attach_request(frame: Frame) -> Option<wire::AttachRequest> {
    let part = match frame {
        Frame::Hello(hello) => Request::Open(wire::AttachOpen {
            container: hello.container,
            exec: hello.exec,
            session: hello.session,
            starter: hello.starter,
            stdout: hello.stdout,
            stderr: hello.stderr,
            from: hello.from.map(|[stdout, stderr]| wire::AttachPositions { stdout, stderr }),
        }),
        Frame::Typed { offset, data } => Request::Input(wire::AttachBytes { stream: 0, offset, data }),
        Frame::TypedEnd => Request::InputEnd(true),
        Frame::Resize { columns, rows } => Request::Size(terminal_size_to((columns, rows))),
        Frame::Seen { stream, offset } => {
            Request::Seen(wire::AttachPosition { stream: stream.into(), offset })
        }
        Frame::Bye => Request::Leave(true),
        _ => return None,
    };
    Some(wire::AttachRequest { part: Some(part) })
}

/// Frames that only a client sends become a refusal.
impl From<Frame> for wire::AttachResponse {
    fn from(frame: Frame) -> Self {
        let part = match frame {
            Frame::Welcome(welcome) => Response::Welcome(wire::AttachWelcome {
                input_taken: welcome.typed,
                from: Some(wire::AttachPositions { stdout: welcome.from[0], stderr: welcome.from[1] }),
            }),
            Frame::Output { stream, offset, data } => {
                Response::Output(wire::AttachBytes { stream: stream.into(), offset, data })
            }
            Frame::End { stream } => Response::End(stream.into()),
            Frame::TypedTo { offset } => Response::InputTaken(offset),
            Frame::Exit { status } => Response::Exit(status),
            Frame::Refused { why } => Response::Refused(why),
            other => Response::Refused(format!("out of place: {other:?}")),
        };
        Self { part: Some(part) }
    }
}

impl TryFrom<wire::AttachResponse> for Frame {
    type Error = Invalid;

    fn try_from(response: wire::AttachResponse) -> Result<Self, Invalid> {
        Ok(match response.part.ok_or_else(|| Invalid::new("part", "missing"))? {
            Response::Welcome(welcome) => {
                let from = welcome.from.unwrap_or_default();
                let from = [from.stdout, from.stderr];
                Self::Welcome(Welcome { version: VERSION, typed: welcome.input_taken, from })
            }
            Response::Output(bytes) => {
                Self::Output { stream: stream(bytes.stream)?, offset: bytes.offset, data: bytes.data }
            }
            Response::End(number) => Self::End { stream: stream(number)? },
            Response::InputTaken(offset) => Self::TypedTo { offset },
            Response::Exit(status) => Self::Exit { status },
            Response::Refused(why) => Self::Refused { why },
        })
    }
}

impl TryFrom<wire::RunRequest> for Frame {
    type Error = Invalid;

    fn try_from(request: wire::RunRequest) -> Result<Self, Invalid> {
        match request.part {
            Some(RunRequest::Attach(request)) => request.try_into(),
            _ => Err(Invalid::new("part", "only the first request says what is wanted")),
        }
    }
}

impl From<RunStep> for wire::RunResponse {
    fn from(step: RunStep) -> Self {
        let part = match step {
            RunStep::Created(id, warnings) => {
                RunResponse::Created(wire::CreateContainerResponse { id: id.into(), warnings })
            }
            RunStep::Frame(frame) => RunResponse::Attach(frame.into()),
            RunStep::Started(warnings) => RunResponse::Started(wire::StartContainerResponse { warnings }),
        };
        Self { part: Some(part) }
    }
}

impl TryFrom<wire::RunResponse> for RunStep {
    type Error = Invalid;

    fn try_from(response: wire::RunResponse) -> Result<Self, Invalid> {
        Ok(match response.part.ok_or_else(|| Invalid::new("part", "missing"))? {
            RunResponse::Created(made) => {
                let id = ContainerId::try_from(made.id).map_err(|e| Invalid::new("id", e.to_string()))?;
                Self::Created(id, made.warnings)
            }
            RunResponse::Attach(response) => Self::Frame(response.try_into()?),
            RunResponse::Started(started) => Self::Started(started.warnings),
        })
    }
}

impl TryFrom<wire::CreateExecRequest> for ExecSpec {
    type Error = Invalid;

    fn try_from(request: wire::CreateExecRequest) -> Result<Self, Invalid> {
        Ok(Self {
            command: request.command,
            env: request.env,
            user: request.user,
            working_dir: request.working_dir,
            tty: request.tty,
            stdin: request.stdin,
            privileged: request.privileged,
            terminal_size: terminal_size("terminal_size", request.terminal_size)?,
        })
    }
}

/// A request for one more process in `container`.
pub fn exec_request(container: &str, spec: ExecSpec) -> wire::CreateExecRequest {
    wire::CreateExecRequest {
        container: container.to_owned(),
        command: spec.command,
        env: spec.env,
        user: spec.user,
        working_dir: spec.working_dir,
        tty: spec.tty,
        stdin: spec.stdin,
        privileged: spec.privileged,
        terminal_size: spec.terminal_size.map(terminal_size_to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_comes_back() {
        let hello = Hello { version: VERSION, session: "s".into(), from: Some([1, 2]), ..Hello::default() };
        for frame in [
            Frame::Hello(hello),
            Frame::Typed { offset: 1, data: vec![2] },
            Frame::TypedEnd,
            Frame::Resize { columns: 80, rows: 25 },
            Frame::Seen { stream: 1, offset: 5 },
            Frame::Bye,
        ] {
            assert_eq!(Frame::try_from(attach_request(frame.clone()).unwrap()), Ok(frame));
        }
    }

    #[test]
    fn what_a_shim_sends_comes_back() {
        for frame in [
            Frame::Welcome(Welcome { version: VERSION, typed: 3, from: [4, 5] }),
            Frame::Output { stream: 1, offset: 1, data: vec![2] },
            Frame::End { stream: 0 },
            Frame::TypedTo { offset: 9 },
            Frame::Exit { status: 137 },
        ] {
            assert_eq!(Frame::try_from(wire::AttachResponse::from(frame.clone())), Ok(frame));
        }
    }
}
