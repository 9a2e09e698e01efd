//! URLs of listeners and members, with the rules of etcd's `types.NewURLs`: a scheme, a host and
//! a port, nothing else. Kept as written, because member ids are hashes of the text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One checked URL. Orders as its text does, which is the order etcd hashes member URLs in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    text: String,
    host: String,
    port: u16,
}

impl Url {
    /// Reads one URL.
    ///
    /// # Errors
    /// One line: no scheme, a scheme that is not served, no port, or a path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!(
                "{text:?} is not a URL; write it like http://127.0.0.1:2379"
            ));
        };
        match scheme {
            "http" => {}
            "https" => {
                return Err(format!("{text:?}: TLS is not yet supported; use http://"));
            }
            "unix" | "unixs" => {
                return Err(format!(
                    "{text:?}: Unix sockets are not yet supported; use http://"
                ));
            }
            _ => return Err(format!("{text:?}: unknown scheme {scheme:?}; use http://")),
        }
        if rest.contains(['/', '?', '#']) {
            return Err(format!(
                "{text:?}: a URL here has no path; end it after the port"
            ));
        }
        if rest.contains('@') {
            return Err(format!(
                "{text:?}: a URL here names no user; write host:port"
            ));
        }
        let (host, port) = host_and_port(rest)
            .ok_or_else(|| format!("{text:?}: the address is not of the form host:port"))?;
        if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("{text:?}: the host contains blanks"));
        }
        Ok(Self {
            text: text.to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address to listen on. As in etcd the host has to be an IP address or `localhost`,
    /// which is the IPv4 loopback.
    ///
    /// # Errors
    /// One line when the host is a name.
    pub fn bind_addr(&self) -> Result<SocketAddr, String> {
        if self.host == "localhost" {
            return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port));
        }
        match self.host.parse::<IpAddr>() {
            Ok(ip) => Ok(SocketAddr::new(ip, self.port)),
            Err(_) => Err(format!(
                "{:?}: give an IP address to listen on, not a name",
                self.text
            )),
        }
    }
}

/// Reads the origins of `--cors`, by etcd's rule: all, or URLs of host and port. They are only
/// compared, so `https://` will do.
///
/// # Errors
/// One line about the first that is no such URL.
pub fn parse_origins(text: &str) -> Result<Vec<String>, String> {
    if text == "*" {
        return Ok(vec![text.to_owned()]);
    }
    let origin = |text: &str| {
        let text = text.trim();
        let plain = text.strip_prefix("https").map(|rest| format!("http{rest}"));
        Url::parse(plain.as_deref().unwrap_or(text)).map(|_| text.to_owned())
    };
    text.split(',').map(origin).collect()
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a comma-separated list: sorted and without doubles, as etcd keeps it.
///
/// # Errors
/// One line about the first URL that does not do; an empty list is refused.
pub fn parse_list(text: &str) -> Result<Vec<Url>, String> {
    if text.trim().is_empty() {
        return Err("no URL given; write it like http://127.0.0.1:2379".to_owned());
    }
    let mut urls = text
        .split(',')
        .map(Url::parse)
        .collect::<Result<Vec<_>, _>>()?;
    urls.sort();
    urls.dedup();
    Ok(urls)
}

/// The list as etcd prints it.
pub fn join(urls: &[Url]) -> String {
    urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",")
}

/// Splits at the port. A colon inside the host is allowed only in brackets.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, after.strip_prefix(':')?)
        }
        None => {
            let (host, port) = text.rsplit_once(':')?;
            if host.contains([':', '[', ']']) {
                return None;
            }
            (host, port)
        }
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return None;
    }
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests;
