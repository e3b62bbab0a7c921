//! `GET /v1/info` of RootlessKit's API, on `api.sock` of its state directory, so that its own client finds us.

use crate::config::Instance;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// Serves it in a thread, as long as the process lives.
pub(super) fn serve(instance: &Instance, child_pid: i32) -> io::Result<()> {
    let folder = instance.dirs.rootlesskit();
    let path = folder.join("api.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    let info = serde_json::json!({
        "apiVersion": "1.1.1",
        "version": env!("CARGO_PKG_VERSION"),
        "stateDir": folder,
        "childPID": child_pid,
        "networkDriver": {
            "driver": super::slirp::NAME,
            "dns": [super::slirp::DNS],
            "childIP": "10.0.2.100",
            "dynamicChildIP": false,
        },
    })
    .to_string();
    std::thread::Builder::new().name("rootlesskit-api".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(&stream, &info);
        }
    })?;
    Ok(())
}

fn answer(mut stream: &UnixStream, info: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut lines = BufReader::new(stream);
    let mut request = String::new();
    lines.read_line(&mut request)?;
    let mut header = String::new();
    while lines.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match (request.starts_with("GET "), path) {
        (true, "/v1/info") => ("200 OK", info),
        _ => ("404 Not Found", "{\"message\":\"only GET /v1/info is served\"}"),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
