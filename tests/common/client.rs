//! An HTTP client that sends exactly the given bytes and returns the whole response.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|cause| panic!("{cause}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line =
            |line: &'_ str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        let line = self.head.lines().find(|text| line(text))?;
        Some(line.split_once(':')?.1.trim())
    }
}

/// Connects to `http://host:port`.
pub(crate) fn connect(server: &str) -> TcpStream {
    let stream = TcpStream::connect(server.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

/// Sends the given bytes, and reads the response until the server closes the connection.
pub(crate) fn send(server: &str, request: &[u8]) -> Response {
    let mut stream = connect(server);
    // The server may close the connection before it has read the whole request.
    let _ = stream.write_all(request);
    read_response(stream)
}

/// Reads a response until the server closes the connection.
pub(crate) fn read_response(mut stream: TcpStream) -> Response {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..read]);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = bytes.get(end + 4..).unwrap_or_default();
    let in_chunks = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if in_chunks { unchunked(body) } else { body.to_vec() };
    Response { status, head, body }
}

/// Decodes a body with chunked transfer encoding.
fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|two| two == b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&chunks[end + 2..][..len]);
        chunks = &chunks[end + 2 + len + 2..];
    }
    body
}

/// Sends a GET request with additional header lines.
pub(crate) fn get_with(server: &str, address: &str, lines: &str) -> Response {
    send(
        server,
        format!("GET {address} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{lines}\r\n").as_bytes(),
    )
}

/// Sends a GET request.
pub(crate) fn get(server: &str, address: &str) -> Response {
    get_with(server, address, "")
}
