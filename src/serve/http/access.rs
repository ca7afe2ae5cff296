//! Access rules. The check of the `Host` header blocks requests from the web pages of other sites. A token is
//! required if other machines can connect.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use hyper::{StatusCode, Uri};
use subtle::ConstantTimeEq;

/// The rules for requests: the required token and the allowed host names.
#[derive(Debug, Default)]
pub struct Access {
    /// Token that requests must carry; `None` if requests need no token.
    token: Option<String>,
    /// Host names that are allowed in addition to `localhost` and IP addresses.
    hosts: Vec<String>,
}

impl Access {
    /// Rules with an optional token and additional host names.
    pub fn new(token: Option<String>, hosts: Vec<String>) -> Self {
        Self { token, hosts }
    }

    /// Whether requests must carry a token.
    pub fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// Checks that the request names an allowed host. An attacker can point the host name of a web page
    /// to this machine (DNS rebinding). The requests of that page then carry the attacker's host name.
    ///
    /// # Errors
    /// Returns status 400 if the host is missing or ambiguous, and 421 if it is not allowed.
    pub fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), StatusCode> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (uri.host(), hosts.next(), hosts.next()) {
            (Some(host), ..) => host,
            (None, Some(host), None) => host.to_str().map_err(|_| StatusCode::BAD_REQUEST)?,
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        if self.is_allowed(without_port(host)) { Ok(()) } else { Err(StatusCode::MISDIRECTED_REQUEST) }
    }

    fn is_allowed(&self, name: &str) -> bool {
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        // DNS rebinding needs a host name, so IP addresses are safe. Without a token, the server accepts
        // only connections from this machine, so only loopback addresses are expected.
        let is_address = address.is_ok_and(|address| address.is_loopback() || self.needs_token());
        let is_name = |allowed: &str| allowed.eq_ignore_ascii_case(name);
        is_address || is_name("localhost") || self.hosts.iter().any(|host| is_name(host))
    }

    /// Whether a request carries the token or needs no token. The comparison takes constant time.
    pub fn is_granted(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let sent = sent.and_then(|value| value.split_once(' '));
        sent.is_some_and(|(scheme, sent)| {
            scheme.eq_ignore_ascii_case("bearer")
                && bool::from(sent.trim().as_bytes().ct_eq(token.as_bytes()))
        })
    }
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, host: &str) -> Result<(), StatusCode> {
        let headers = [(HOST, host.parse().unwrap())].into_iter().collect();
        access.check_host(&headers, &Uri::from_static("/"))
    }

    #[test]
    fn only_allowed_hosts_pass() {
        let local = Access::new(None, vec!["insights.example".to_owned()]);
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]", "insights.example:80"]
        {
            assert_eq!(check(&local, host), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:8080", "10.0.0.1:8080", "", "127.0.0.1.evil.example"]
        {
            assert_eq!(check(&local, host), Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        let open = Access::new(Some("0123456789abcdef".to_owned()), Vec::new());
        assert_eq!(check(&open, "10.0.0.1:8080"), Ok(()));
        assert_eq!(check(&open, "evil.example"), Err(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(local.check_host(&HeaderMap::new(), &Uri::from_static("/")), Err(StatusCode::BAD_REQUEST));
        let twice = [(HOST, "localhost".parse().unwrap())];
        let mut twice: HeaderMap = twice.into_iter().collect();
        twice.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(local.check_host(&twice, &Uri::from_static("/")), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn only_the_token_grants_access() {
        let access = Access::new(Some("0123456789abcdef".to_owned()), Vec::new());
        let granted =
            |value: &str| access.is_granted(&[(AUTHORIZATION, value.parse().unwrap())].into_iter().collect());
        assert!(granted("Bearer 0123456789abcdef") && granted("bearer 0123456789abcdef"));
        for wrong in
            ["Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Bearer", "Basic 0123456789abcdef", ""]
        {
            assert!(!granted(wrong), "{wrong}");
        }
        assert!(!access.is_granted(&HeaderMap::new()));
        assert!(Access::default().is_granted(&HeaderMap::new()));
    }
}
