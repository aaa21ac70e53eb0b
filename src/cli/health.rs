//! `confab health`: whether the server of these settings responds.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use anyhow::{Context as _, ensure};

use crate::config::Server;

/// Time limit of the check, below the one that the image gives it.
const LIMIT: Duration = Duration::from_secs(4);

/// Sends `GET /up` to the API's first listener. The response does not depend on the stores.
///
/// # Errors
///
/// A server that does not respond in time, or not with success.
pub async fn check(server: &Server) -> anyhow::Result<()> {
    // The proxies of the environment are for other hosts.
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT);
    let (client, url, listener) = if let Some(host) = server.addresses.first() {
        ensure!(
            server.port != 0,
            "server.port is 0, so the port of the server is not known"
        );
        let url = format!("http://{}:{}/up", reachable(host), server.port);
        (client, url.clone(), url)
    } else {
        let socket = server.unix_socket.as_path();
        let listener = format!("/up of {}", socket.display());
        (
            client.unix_socket(socket),
            "http://localhost/up".to_owned(),
            listener,
        )
    };
    let response = client.build()?.get(&url).send().await;
    let status = response
        .with_context(|| format!("{listener} does not respond"))?
        .status();
    ensure!(status.is_success(), "{listener} returns {status}");
    Ok(())
}

/// The host of a URL of this machine for the name or address that the server listens on.
fn reachable(host: &str) -> String {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_at_the_loopback_address() {
        for (host, asked) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("10.0.0.7", "10.0.0.7"),
            ("::", "[::1]"),
            ("[::]", "[::1]"),
            ("::1", "[::1]"),
            ("[fd00::7]", "[fd00::7]"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(reachable(host), asked, "{host}");
        }
    }
}
