//! Names in `Host` headers.

use std::net::IpAddr;

/// Tells whether a name or address, IPv6 with or without brackets, is the loopback interface.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Tells whether a `Host` header names this machine in a way that no other machine can be given: the name of another site may
/// resolve to a loopback address, but browsers never ask a server for names below `localhost`.
pub fn names_this_machine(host: &str) -> bool {
    let name = without_port(host);
    let suffix = name.len().checked_sub(".localhost".len());
    let suffix = suffix.and_then(|start| name.get(start..));
    is_loopback(name) || suffix.is_some_and(|end| end.eq_ignore_ascii_case(".localhost"))
}

/// Returns the name or address of a `Host` header without its port.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_for_itself_is_loopback() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "localhost.example",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn names_below_localhost_are_this_machine() {
        for host in ["localhost:80", "a.localhost", "A.LocalHost:1", "[::1]:3001"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in ["notlocalhost", "é.localhost.example", "localhost.", ""] {
            assert!(!names_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_port_is_taken_off_and_nothing_else() {
        for (host, name) in [
            ("localhost:3002", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:3002", "[::1]"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("127.0.0.1:80.example", "127.0.0.1:80.example"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
