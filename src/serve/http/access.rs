//! Who may read: a page of another site that has lured a browser here may not, and where others can
//! reach us, only those with the token may.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use hyper::{StatusCode, Uri};
use subtle::ConstantTimeEq;

/// The rules.
#[derive(Debug, Default)]
pub struct Access {
    /// What readers must show, if anything.
    token: Option<String>,
    /// Names under which we may be addressed, besides `localhost` and addresses.
    hosts: Vec<String>,
}

impl Access {
    /// Rules with a token, if there is one, and further host names.
    pub fn new(token: Option<String>, hosts: Vec<String>) -> Self {
        Self { token, hosts }
    }

    /// Whether readers must show a token.
    pub fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the request means us. A page whose name was made to point to this machine (DNS
    /// rebinding) sends that name.
    ///
    /// # Errors
    /// The status of the refusal.
    pub fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), StatusCode> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (uri.host(), hosts.next(), hosts.next()) {
            (Some(host), ..) => host,
            (None, Some(host), None) => host.to_str().map_err(|_| StatusCode::BAD_REQUEST)?,
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        if self.is_ours(name_of(host)) { Ok(()) } else { Err(StatusCode::MISDIRECTED_REQUEST) }
    }

    fn is_ours(&self, name: &str) -> bool {
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        // An address cannot be made to point elsewhere; but as long as only this machine is served,
        // no other one is meant.
        let is_address = address.is_ok_and(|address| address.is_loopback() || self.needs_token());
        let is_name = |ours: &str| ours.eq_ignore_ascii_case(name);
        is_address || is_name("localhost") || self.hosts.iter().any(|host| is_name(host))
    }

    /// Whether a request shows the token, if there is one; how long this takes tells nothing of it.
    pub fn is_granted(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split_once(' '));
        shown.is_some_and(|(scheme, shown)| {
            scheme.eq_ignore_ascii_case("bearer")
                && bool::from(shown.trim().as_bytes().ct_eq(token.as_bytes()))
        })
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(access: &Access, host: &str) -> Result<(), StatusCode> {
        let headers = [(HOST, host.parse().unwrap())].into_iter().collect();
        access.check_host(&headers, &Uri::from_static("/"))
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let local = Access::new(None, vec!["insights.example".to_owned()]);
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]", "insights.example:80"]
        {
            assert_eq!(asked(&local, host), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:8080", "10.0.0.1:8080", "", "127.0.0.1.evil.example"]
        {
            assert_eq!(asked(&local, host), Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        let open = Access::new(Some("0123456789abcdef".to_owned()), Vec::new());
        assert_eq!(asked(&open, "10.0.0.1:8080"), Ok(()));
        assert_eq!(asked(&open, "evil.example"), Err(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(local.check_host(&HeaderMap::new(), &Uri::from_static("/")), Err(StatusCode::BAD_REQUEST));
        let twice = [(HOST, "localhost".parse().unwrap())];
        let mut twice: HeaderMap = twice.into_iter().collect();
        twice.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(local.check_host(&twice, &Uri::from_static("/")), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn only_the_token_opens() {
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
