//! How many requests one client may make.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use actix_web::{
    Error, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, X_FORWARDED_FOR},
    middleware::Next,
};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::error::HttpError;
use crate::config::Limits;

/// After so many requests, clients whose rate is as if they had never come are forgotten. So there are never more of them
/// than those that are active, and this many.
const FORGET_AFTER: u32 = 10_000;

/// Who came how often.
pub struct Clients {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    checked: AtomicU32,
    proxies: usize,
}

impl Clients {
    /// As configured; `None` where nothing is limited.
    pub fn new(limits: &Limits) -> Option<Self> {
        let rate = NonZeroU32::new(limits.requests_per_second)?;
        let burst = NonZeroU32::new(limits.burst)?;
        Some(Self {
            limiter: RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)),
            clock: DefaultClock::default(),
            checked: AtomicU32::new(0),
            proxies: limits.proxies,
        })
    }

    /// Counts a request; an error, with the seconds to wait, if it is one too many.
    fn check(&self, client: IpAddr) -> Result<(), HttpError> {
        if self.checked.fetch_add(1, Ordering::Relaxed) % FORGET_AFTER == FORGET_AFTER - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(&client).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            HttpError::TooManyRequests {
                seconds: wait.as_secs() + 1,
            }
        })
    }
}

/// Answers a request if its client has not made too many. Whoever watches the process is not counted.
///
/// # Errors
///
/// The handler's.
pub async fn limit<B: MessageBody>(
    clients: Option<&Clients>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Some(clients) = clients
        && !matches!(request.path(), "/up" | "/readyz")
        && let Some(client) = client(request.peer_addr(), request.headers(), clients.proxies)
        && let Err(error) = clients.check(client)
    {
        let response = error.error_response();
        return Ok(request.into_response(response).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Whom a request comes from. Each proxy adds, at the end of `X-Forwarded-For`, whom it got the request from; what stands
/// before that is what anybody may have written.
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
        // A network gives its members as many addresses as they like out of 64 bits.
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
    fn a_client_is_whom_the_outermost_proxy_names() {
        let peer = "10.0.0.1:5".parse().ok();
        let mut headers = HeaderMap::new();
        let mut is = |proxies, told: &[&'static str], wanted: &str| {
            headers.clear();
            for told in told {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(told));
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
