//! Rate limit per client.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, X_FORWARDED_FOR},
    middleware::Next,
    web::Data,
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};

use crate::{config::Limits, http::error::HttpError};

/// Number of requests after which clients with a full quota are removed from memory. It bounds the number of idle
/// clients kept.
const CLEANUP_INTERVAL: u32 = 10_000;

/// Quotas of all clients.
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    checked: AtomicU32,
    proxies: usize,
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
        })
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyRequests`] for a request over the limit.
    fn check(&self, client: IpAddr) -> Result<(), HttpError> {
        let count = self.checked.fetch_add(1, Ordering::Relaxed);
        if count % CLEANUP_INTERVAL == CLEANUP_INTERVAL - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(&client).map_err(|until| {
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
        && request.path() != "/up"
        && let Some(client) = client(request.peer_addr(), request.headers(), limit.proxies)
        && let Err(error) = limit.check(client)
    {
        return Ok(request.error_response(error));
    }
    next.call(request).await
}

/// Address of the client that sent a request. Each proxy appends the address of its peer to `X-Forwarded-For`; anyone
/// may have written the addresses before those.
fn client(peer: Option<SocketAddr>, headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let forwarded = || {
        let headers: Vec<&str> = headers
            .get_all(X_FORWARDED_FOR)
            .filter_map(|header| header.to_str().ok())
            .collect();
        let mut hops = headers.iter().rev().flat_map(|header| header.rsplit(','));
        hops.nth(proxies.checked_sub(1)?)?.trim().parse().ok()
    };
    let client = forwarded().or_else(|| peer.map(|peer| peer.ip()))?;
    Some(match client.to_canonical() {
        // A member of a network can use any address out of 64 bits.
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn client_is_the_address_that_the_outermost_proxy_saw() {
        let peer = "10.0.0.1:5".parse().ok();
        let mut headers = HeaderMap::new();
        let mut is = |proxies, forwarded: &[&'static str], wanted: &str| {
            headers.clear();
            for hop in forwarded {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(hop));
            }
            assert_eq!(client(peer, &headers, proxies), wanted.parse().ok());
        };
        is(0, &["1.1.1.1"], "10.0.0.1");
        is(1, &["1.1.1.1"], "1.1.1.1");
        is(1, &["9.9.9.9, 1.1.1.1"], "1.1.1.1");
        is(2, &["9.9.9.9, 1.1.1.1", "2.2.2.2"], "1.1.1.1");
        is(1, &["nobody"], "10.0.0.1");
        is(3, &["1.1.1.1"], "10.0.0.1");
        is(1, &["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::");
        is(1, &["::ffff:1.1.1.1"], "1.1.1.1");
    }
}
