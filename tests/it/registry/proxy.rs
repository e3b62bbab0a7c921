//! A proxy before a registry, which does to transfers what networks and registries do: cuts them, delays them, says that
//! there are too many, changes a byte, wants a token. One request a connection.

use anyhow::{Context, Result};
use base64::Engine as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bodies of at least this size are layers, in bytes.
const LAYER: usize = 1 << 20;
/// First byte of a client that speaks TLS: on loopback, that is tried first.
const HANDSHAKE: u8 = 22;
/// The access token that the proxy wants when it wants one.
const TOKEN: &str = "only-for-tests";

/// What becomes of transfers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Straight,
    /// Each layer's connection ends after so many bytes, so many times.
    Cut(usize, usize),
    /// Each layer's connection stands still after so many bytes.
    Stall(usize),
    /// Each upload of a layer ends after so many bytes, so many times.
    CutUp(usize, usize),
    /// Each upload of a layer stands still after so many bytes.
    StallUp(usize),
    /// The next so many requests get this status, and this `Retry-After`.
    Busy(usize, &'static str, String),
    /// A byte in each layer is another one.
    Corrupt,
    /// A bearer token is wanted, which this user gets for this password, and whoever has this identity token.
    Token { user: String, password: String, identity: String },
}

#[derive(Default)]
struct State {
    mode: Mode,
    /// Requests so far: method, path, and the range that was asked for.
    requests: Vec<String>,
    /// Layers that stand still now.
    stalled: usize,
    over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy that listens until this is dropped.
pub(super) struct Proxy {
    /// `localhost:PORT`
    pub(super) host: String,
    port: u16,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens before the registry at this port.
    pub(super) fn start(behind: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        let listening = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if state.state().over {
                    return;
                }
                let state = state.clone();
                std::thread::spawn(move || {
                    // An end that goes away ends its connection; what a test wants to know is in the log.
                    let _ = serve(&state, client, port, behind);
                });
            }
        });
        Ok(Self { host: format!("localhost:{port}"), port, shared, listening: Some(listening) })
    }

    /// Does something else from now on; forgets the requests so far.
    pub(super) fn set(&self, mode: Mode) {
        let mut state = self.shared.state();
        state.mode = mode;
        state.requests.clear();
        self.shared.changed.notify_all();
    }

    /// The requests for layers since the mode was set, as `GET PATH RANGE`.
    pub(super) fn layers(&self) -> Vec<String> {
        self.requests().into_iter().filter(|r| r.starts_with("GET") && r.contains("/blobs/")).collect()
    }

    /// All requests since the mode was set.
    pub(super) fn requests(&self) -> Vec<String> {
        self.shared.state().requests.clone()
    }

    /// Waits until `count` layers stand still.
    pub(super) fn stalled(&self, count: usize) -> Result<()> {
        let state = self.shared.state();
        let wait = self
            .shared
            .changed
            .wait_timeout_while(state, Duration::from_secs(30), |state| state.stalled != count);
        let (state, timed) = wait.unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(!timed.timed_out(), "{} layers stand still, not {count}", state.stalled);
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.over = true;
        state.mode = Mode::Straight;
        drop(state);
        self.shared.changed.notify_all();
        // The listener looks up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

/// Bytes up to the empty line, and the first ones of the body.
fn head(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), body));
        }
        match stream.read(&mut part)? {
            0 => anyhow::bail!("it ended in its head"),
            n => bytes.extend_from_slice(&part[..n]),
        }
        if bytes[0] == HANDSHAKE {
            answer(stream, "400 Bad Request", "", "")?;
            anyhow::bail!("TLS is not spoken here");
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn length(head: &str) -> usize {
    header(head, "content-length").and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn serve(shared: &Shared, mut client: TcpStream, port: u16, behind: u16) -> Result<()> {
    let (request, body) = head(&mut client)?;
    let line = request.lines().next().unwrap_or_default();
    let (method, path) = line.rsplit_once(' ').unwrap_or_default().0.split_once(' ').context("no request")?;
    let range = header(&request, "range").unwrap_or_default();
    let mode = {
        let mut state = shared.state();
        state.requests.push(format!("{method} {path} {range}").trim_end().to_owned());
        let mode = state.mode.clone();
        if let Mode::Busy(times, status, wait) = mode.clone() {
            state.mode = if times > 1 { Mode::Busy(times - 1, status, wait) } else { Mode::Straight };
        }
        mode
    };
    match &mode {
        Mode::Busy(_, status, wait) => {
            return Ok(answer(&mut client, status, &format!("Retry-After: {wait}\r\n"), "")?);
        }
        Mode::Token { .. } if path.starts_with("/token") => {
            let mut form = body;
            form.resize(length(&request).max(form.len()), 0);
            let read = form.len() - form.iter().rev().take_while(|b| **b == 0).count();
            client.read_exact(&mut form[read..])?;
            return token(&mut client, &mode, &request, &String::from_utf8_lossy(&form));
        }
        Mode::Token { .. } if header(&request, "authorization") != Some(&format!("Bearer {TOKEN}")) => {
            let wanted = format!("Bearer realm=\"http://localhost:{port}/token\",service=\"tests\"");
            return Ok(answer(
                &mut client,
                "401 Unauthorized",
                &format!("WWW-Authenticate: {wanted}\r\n"),
                "",
            )?);
        }
        _ => {}
    }
    let mut registry = TcpStream::connect(("127.0.0.1", behind))?;
    let kept = request.trim_end().lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !["connection", "authorization"].iter().any(|other| name.eq_ignore_ascii_case(other))
    });
    let mut forwarded: String = kept.map(|line| format!("{line}\r\n")).collect();
    forwarded.push_str("Connection: close\r\n\r\n");
    registry.write_all(forwarded.as_bytes())?;
    if length(&request) >= LAYER && matches!(mode, Mode::CutUp(..) | Mode::StallUp(_)) {
        return part(shared, &mode, &body, &mut client, &mut registry);
    }
    registry.write_all(&body)?;
    let (mut from, mut to) = (client.try_clone()?, registry.try_clone()?);
    let sending = std::thread::spawn(move || std::io::copy(&mut from, &mut to).is_ok());
    let passed = pass(shared, &mut registry, &mut client);
    client.shutdown(Shutdown::Both).ok();
    registry.shutdown(Shutdown::Both).ok();
    sending.join().ok();
    passed
}

/// Passes the beginning of an upload on, and then no more.
fn part(
    shared: &Shared,
    mode: &Mode,
    body: &[u8],
    client: &mut TcpStream,
    registry: &mut TcpStream,
) -> Result<()> {
    let limit = match *mode {
        Mode::CutUp(bytes, times) => {
            shared.state().mode = if times > 1 { Mode::CutUp(bytes, times - 1) } else { Mode::Straight };
            bytes
        }
        Mode::StallUp(bytes) => bytes,
        _ => 0,
    };
    registry.write_all(body)?;
    let rest = u64::try_from(limit.saturating_sub(body.len()))?;
    std::io::copy(&mut client.try_clone()?.take(rest), registry)?;
    if matches!(mode, Mode::StallUp(_)) {
        stand_still(shared, mode, client)?;
    }
    client.shutdown(Shutdown::Both)?;
    registry.shutdown(Shutdown::Both)?;
    Ok(())
}

fn answer(client: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    client.write_all(text.as_bytes())
}

/// Gives a token to somebody who may have one.
fn token(client: &mut TcpStream, mode: &Mode, request: &str, form: &str) -> Result<()> {
    let Mode::Token { user, password, identity } = mode else { return Ok(()) };
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let known = header(request, "authorization") == Some(&format!("Basic {basic}"))
        || form.contains(&format!("password={password}"))
        || form.contains(&format!("refresh_token={identity}"));
    let body = serde_json::json!({ "token": TOKEN, "access_token": TOKEN }).to_string();
    match known {
        true => answer(client, "200 OK", "", &body)?,
        false => answer(client, "401 Unauthorized", "", "")?,
    }
    Ok(())
}

/// Passes an answer on, in the way that the mode has for layers.
fn pass(shared: &Shared, registry: &mut TcpStream, client: &mut TcpStream) -> Result<()> {
    let (head, mut body) = head(registry)?;
    client.write_all(head.as_bytes())?;
    let layer = head.starts_with("HTTP/1.1 20") && length(&head) >= LAYER;
    let mode = if layer { shared.state().mode.clone() } else { Mode::Straight };
    let limit = match mode {
        Mode::Cut(bytes, times) => {
            shared.state().mode = if times > 1 { Mode::Cut(bytes, times - 1) } else { Mode::Straight };
            bytes
        }
        Mode::Stall(bytes) => bytes,
        _ => usize::MAX,
    };
    if mode == Mode::Corrupt
        && let Some(byte) = body.last_mut()
    {
        *byte ^= 1;
    }
    let mut passed = 0;
    let mut part = [0; 64 << 10];
    loop {
        let piece = &body[..body.len().min(limit - passed)];
        client.write_all(piece)?;
        passed += piece.len();
        if passed == limit {
            break;
        }
        match registry.read(&mut part)? {
            0 => return Ok(()),
            n => body = part[..n].to_vec(),
        }
        if mode == Mode::Corrupt
            && let Some(byte) = body.last_mut()
        {
            *byte ^= 1;
        }
    }
    if let Mode::Stall(_) = mode {
        stand_still(shared, &mode, client)?;
    }
    Ok(())
}

/// Keeps a connection as it is until the other side ends it, or the mode is another one.
fn stand_still(shared: &Shared, mode: &Mode, client: &TcpStream) -> Result<()> {
    shared.state().stalled += 1;
    shared.changed.notify_all();
    client.set_nonblocking(true)?;
    let mut byte = [0];
    loop {
        let gone = match client.peek(&mut byte) {
            Ok(n) => n == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        };
        let state = shared.state();
        if gone || state.mode != *mode {
            break;
        }
        let wait = shared.changed.wait_timeout(state, Duration::from_millis(20));
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }
    shared.state().stalled -= 1;
    shared.changed.notify_all();
    Ok(())
}
