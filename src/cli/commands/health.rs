//! `music-insights health`: asks a running `watch` whether it is alive. A container without a shell uses this command
//! as its health check.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::cli::args::HealthArgs;
use crate::cli::commands::print::print;
use crate::model::error::Error;
use crate::settings::Http;

/// The time to connect, and the time to wait for an answer. The server answers within 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The answers are one line. A server that sends more is not `watch`.
const MAX_ANSWER: u64 = 4096;

/// Prints the answer of `watch`.
///
/// # Errors
/// If the dashboard is off (78), if nothing answers, or if the answer is not 200 (74).
pub fn run(args: &HealthArgs) -> Result<(), Error> {
    let Http::On(address) = args.common.settings()?.http else {
        let message = "http is off, so `watch` cannot be asked; set an address such as 127.0.0.1:8080";
        return Err(Error::Config(message.to_owned()));
    };
    let path = if args.ready { "/health/readyz" } else { "/health/livez" };
    let unreachable = |cause| {
        Error::Io(format!("{address}: no answer from watch: {cause}; check that it runs, and check --http"))
    };
    let answer = ask(&address, path).map_err(unreachable)?;
    match parse(&answer) {
        Some((200, text)) => print(text),
        Some((status, text)) => Err(Error::Io(format!("{address}: {status}: {}", text.trim_end()))),
        None => Err(Error::Io(format!("{address}: the answer is not HTTP; check --http"))),
    }
}

/// Sends a request, and returns the whole response.
fn ask(address: &str, path: &str) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // The server accepts `localhost` under every configuration. The health checks need no token.
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&reachable(address), TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(cause) => failed = cause,
        }
    }
    Err(failed)
}

/// The address to connect to. A server that listens on all addresses also listens on the loopback address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The status and the body of an HTTP response.
fn parse(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some((status.get(..3)?.parse().ok()?, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_interfaces_is_asked_on_the_loopback_interface() {
        let at = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(at("[::]:80"), "[::1]:80");
        assert_eq!(at("192.0.2.7:8080"), "192.0.2.7:8080");
    }

    #[test]
    fn only_http_is_an_answer() {
        assert_eq!(parse("HTTP/1.1 200 OK\r\na: b\r\n\r\nalive\n"), Some((200, "alive\n")));
        assert_eq!(parse("HTTP/1.1 503\r\n\r\nstalled\n"), Some((503, "stalled\n")));
        for other in
            ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 \r\n\r\n", "HTTP/1.1 2é0\r\n\r\n", "HTTP/1.1 200 OK\r\n"]
        {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
