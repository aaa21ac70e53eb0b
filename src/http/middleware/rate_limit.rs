//! Rate limit per client: per user for tokens, per key for keys, per address for other requests.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};

use super::access;
use crate::{
    auth::Caller,
    config::{Limits, ProxyHeader},
    domain::{AppId, KeyId},
    http::{error::HttpError, forwarded},
};

/// Number of requests after which clients with a full quota are removed from memory. It bounds the number of idle
/// clients kept.
const CLEANUP_INTERVAL: u32 = 10_000;

/// Client that a request counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Client {
    /// An address, or a network.
    Address(IpAddr),
    /// A key.
    Key(KeyId),
    /// A user of an application, whatever key signed the token.
    User(AppId, Box<str>),
}

/// Quotas of all clients.
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<Client>,
    checked: AtomicU32,
    proxies: usize,
    proxy_header: ProxyHeader,
}

impl RateLimit {
    /// Rate limit of these settings; `None` if rate limiting is disabled.
    pub fn new(limits: &Limits) -> Option<Self> {
        let rate = NonZeroU32::new(limits.requests_per_second)?;
        let burst = NonZeroU32::new(limits.burst)?;
        Some(Self {
            limiter: RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)),
            checked: AtomicU32::new(0),
            proxies: limits.proxies,
            proxy_header: limits.proxy_header,
        })
    }

    /// Client that sent a request.
    async fn client(&self, request: &ServiceRequest) -> Result<Client, HttpError> {
        let has_access_rule = path(request).starts_with("/application");
        let caller = match has_access_rule {
            true => access::identify_early(request.request()).await?,
            false => None,
        };
        Ok(caller.as_ref().and_then(client).unwrap_or_else(|| {
            let forwarded = forwarded::client(request.headers(), self.proxies, self.proxy_header);
            Client::Address(address(request.peer_addr(), forwarded))
        }))
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyRequests`] for a request over the limit.
    fn check(&self, client: &Client) -> Result<(), HttpError> {
        let count = self.checked.fetch_add(1, Ordering::Relaxed);
        if count % CLEANUP_INTERVAL == CLEANUP_INTERVAL - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(client).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            HttpError::TooManyRequests {
                seconds: wait.as_secs() + 1,
            }
        })
    }
}

/// Rejects requests over the limit. Requests for `/up`, which cost nothing, are not counted.
pub async fn check(
    limit: Data<Option<RateLimit>>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(limit) = &**limit
        && path(&request) != "/up"
    {
        let client = limit.client(&request).await;
        if let Err(error) = client.and_then(|client| limit.check(&client)) {
            return Ok(request.error_response(error));
        }
    }
    next.call(request).await
}

/// The path as the router matches it: decoded.
fn path(request: &ServiceRequest) -> &str {
    request.match_info().unprocessed()
}

/// Client with a valid credential.
fn client(caller: &Caller) -> Option<Client> {
    match caller {
        Caller::Anyone => None,
        Caller::Key(key) => Some(Client::Key(key.key.id)),
        Caller::User { token, .. } => Some(Client::User(token.app, token.user.clone())),
    }
}

/// Returns the address that the rate limit counts by: that of the client, or that of its network. Clients without an address, behind a proxy on
/// a unix socket that does not name them, count as one.
fn address(peer: Option<SocketAddr>, forwarded: Option<IpAddr>) -> IpAddr {
    let client = forwarded.or_else(|| peer.map(|peer| peer.ip()));
    match client.map(|client| client.to_canonical()) {
        // A member of a network can use any address out of 64 bits.
        Some(IpAddr::V6(address)) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        Some(address @ IpAddr::V4(_)) => address,
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_one_network_count_as_one() {
        let peer = "10.0.0.1:5".parse().ok();
        let is = |forwarded: &str, wanted: &str| {
            let wanted: IpAddr = wanted.parse().unwrap();
            assert_eq!(address(peer, forwarded.parse().ok()), wanted);
        };
        is("none", "10.0.0.1");
        is("1.1.1.1", "1.1.1.1");
        is("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        is("::ffff:1.1.1.1", "1.1.1.1");
        assert_eq!(address(None, None), Ipv4Addr::UNSPECIFIED);
    }
}
