//! By which names the server may be called.
//!
//! A web page may have its own name lead to this machine, and then ask whatever listens here as if it were its
//! own server. What it cannot do is change the name that its requests carry.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

use crate::config::Config;
use crate::error::{ApiError, Code};

/// Names that are let through; all of them where the name does not matter.
pub(crate) struct Hosts(Option<Vec<String>>);

impl Hosts {
    /// Keys keep such pages out too, and beyond this machine a server has names that it does not know.
    pub(crate) fn new(config: &Config) -> Self {
        let matters =
            !config.hosts.is_empty() || (config.listen.ip().is_loopback() && config.keys.is_empty());
        Self(matters.then(|| config.hosts.clone()))
    }

    /// Whether a request may come under the name that it carries. One without a name comes from no browser.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
        let Some(names) = &self.0 else { return Ok(()) };
        let header = headers.get(header::HOST).map(|value| value.to_str().unwrap_or("?"));
        let Some(host) = uri.authority().map(|authority| authority.as_str()).or(header) else {
            return Ok(());
        };
        let host = without_port(host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let lower = host.to_ascii_lowercase();
        let local = lower == "localhost" || lower.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok();
        if local || names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let message = "the server does not answer to this name; call it localhost, or add the name to `hosts` \
                       in its file";
        Err(ApiError::new(Code::Forbidden, message))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use revela_base::checksum::Checksum;

    use super::*;
    use crate::config::{Access, KeyConfig};

    fn allows(config: &Config, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        Hosts::new(config).check(&headers, &Uri::from_static("/")).is_ok()
    }

    #[test]
    fn names_of_others_do_not_lead_to_loopback() {
        let config = Config::default();
        for fine in
            ["localhost", "LocalHost:8080", "wiki.localhost:1", "127.0.0.1:80", "[::1]:80", "10.0.0.7"]
        {
            assert!(allows(&config, fine), "{fine}");
        }
        for foreign in ["evil.example", "evil.example:8080", "localhost.evil.example", "1.2.3.4.nip.io", ""] {
            assert!(!allows(&config, foreign), "{foreign}");
        }
        let nameless = Hosts::new(&config).check(&HeaderMap::new(), &Uri::from_static("/"));
        assert!(nameless.is_ok());
        let absolute = Uri::from_static("http://evil.example/v1/search");
        assert!(Hosts::new(&config).check(&HeaderMap::new(), &absolute).is_err());
    }

    #[test]
    fn names_are_added_and_matter_only_where_they_protect() {
        let named = Config { hosts: vec!["search.example.org".into()], ..Config::default() };
        assert!(allows(&named, "Search.example.org:443") && allows(&named, "localhost"));
        assert!(!allows(&named, "evil.example"));
        let everywhere = Config { listen: "0.0.0.0:80".parse().unwrap(), ..Config::default() };
        assert!(allows(&everywhere, "any.example"));
        let key = KeyConfig {
            name: "k".into(),
            blake3: Checksum::of(b"k"),
            access: Access::ReadOnly,
            rate: None,
            burst: None,
        };
        assert!(allows(&Config { keys: vec![key], ..Config::default() }, "any.example"));
    }
}
