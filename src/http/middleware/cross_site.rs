//! Protection from pages of other sites in a browser on this machine, or on that of a client.

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HOST, HeaderMap},
    middleware::Next,
    web::Data,
};
use url::Host;

use crate::{
    config::Settings,
    http::{error::HttpError, forwarded},
    listener::{
        cross_site::is_cross_site,
        host::{is_loopback, names_this_machine, without_port},
    },
};

/// Sites whose pages may use the API.
pub struct SitePolicy {
    origins: Vec<String>,
    /// Names of this server besides those of the loopback interface.
    names: Vec<String>,
    /// The server listens on a loopback address.
    is_on_loopback: bool,
    is_behind_proxy: bool,
}

impl SitePolicy {
    /// Creates the policy of these settings.
    pub fn new(settings: &Settings) -> Self {
        let server = &settings.server;
        let names = server.hosts.iter().chain(&server.addresses);
        Self {
            origins: server.cors_origins.clone(),
            names: names.filter_map(|name| normalized(name)).collect(),
            is_on_loopback: server.addresses.iter().any(|address| is_loopback(address)),
            is_behind_proxy: settings.limits.proxies > 0,
        }
    }

    /// Checks a request.
    ///
    /// # Errors
    ///
    /// [`HttpError::Misdirected`], [`HttpError::CrossSite`].
    fn check(&self, request: &ServiceRequest) -> Result<(), HttpError> {
        let headers = request.headers();
        // A site may give its own name the address of this machine; then its pages could read the responses. A proxy has
        // names of its own, and a browser cannot reach a unix socket, whose clients have no address. Only loopback addresses
        // connect to a loopback address.
        if !self.is_behind_proxy
            && self.is_on_loopback
            && request
                .peer_addr()
                .is_some_and(|peer| peer.ip().is_loopback())
            && !headers
                .get_all(HOST)
                .all(|host| self.is_own(host.to_str().unwrap_or_default()))
        {
            return Err(HttpError::Misdirected);
        }
        if !request.method().is_safe() && is_cross_site(headers, &self.own(headers), &self.origins)
        {
            return Err(HttpError::CrossSite);
        }
        Ok(())
    }

    fn is_own(&self, host: &str) -> bool {
        let name = without_port(host);
        names_this_machine(host) || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Names under which the request was sent. A page cannot set the headers of proxies.
    fn own<'a>(&self, headers: &'a HeaderMap) -> Vec<&'a str> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let forwarded = forwarded::hosts(headers).filter(|_| self.is_behind_proxy);
        host.into_iter().chain(forwarded).collect()
    }
}

/// A name as browsers send it: in lower case, IPv6 in brackets.
fn normalized(name: &str) -> Option<String> {
    let name = match name.parse() {
        Ok(address) => Host::Ipv6(address),
        Err(_) => Host::parse(name).ok()?,
    };
    Some(name.to_string())
}

/// Rejects requests of other sites' pages: writes, and on a loopback address everything that has another name in `Host`.
pub async fn check(
    policy: Data<SitePolicy>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match policy.check(&request) {
        Ok(()) => next.call(request).await,
        Err(error) => Ok(request.error_response(error)),
    }
}
