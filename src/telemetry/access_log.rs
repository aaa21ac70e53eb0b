//! Access log and request IDs of both listeners.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, Instant},
};

use ::metrics::Histogram;
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use tracing::{Span, debug_span, info};
use tracing_actix_web::RootSpanBuilder;

use crate::{
    domain::{
        Actor,
        request_id::{self, RequestId},
    },
    telemetry::metrics,
};

/// Header of the request ID, in requests and responses.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Route label of a path that matches no route.
const UNMATCHED: &str = "unmatched";

/// Template of a route, in the data of its resource, which is cheaper than another lookup. Requests without a template,
/// such as those of operators, are logged but not measured.
pub struct Template {
    template: Box<str>,
    /// Histograms by method and status. Each server thread has its own routes, so there is no contention.
    durations: RefCell<HashMap<(&'static str, u16), Histogram>>,
}

impl Template {
    /// The route of this template.
    pub fn new(template: &str) -> Self {
        Self {
            template: template.into(),
            durations: RefCell::default(),
        }
    }

    /// Template for paths without a route.
    pub fn unmatched() -> Self {
        Self::new(UNMATCHED)
    }

    fn record(&self, method: &'static str, status: u16, took: Duration) {
        let mut durations = self.durations.borrow_mut();
        let duration = durations
            .entry((method, status))
            .or_insert_with(|| metrics::request_duration(&self.template, method, status));
        duration.record(took);
    }
}

/// Assigns a request's ID and opens a span with the ID and the trace ID, at the levels debug and trace, for lines
/// without these fields.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let given = request.headers().get(&REQUEST_ID);
        let given = given.and_then(|id| RequestId::given(id.to_str().ok()?));
        let id = given.unwrap_or_else(RequestId::random);
        let span = debug_span!(
            "request",
            request = id.as_str(),
            trace_id = trace_id(request.headers())
        );
        request.extensions_mut().insert(id);
        span
    }

    /// Does nothing: [`log_request`] logs the outcome.
    fn on_request_end<B: MessageBody>(_: Span, _: &Result<ServiceResponse<B>, Error>) {}
}

/// Adds a request's ID to its response and logs one line: the route's template, never the path or query. `actor` finds who
/// sent a request.
pub async fn log_request<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
    actor: fn(&HttpRequest) -> Option<Actor>,
) -> Result<ServiceResponse<B>, Error> {
    let began = Instant::now();
    let method = method(request.method());
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.unwrap_or_else(RequestId::random);
    let mut outcome = next.call(request).await;
    if let (Ok(response), Ok(value)) = (&mut outcome, HeaderValue::from_str(id.as_str())) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let (answered, status) = match &outcome {
        Ok(response) => (Some(response.request()), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    let actor = answered.and_then(actor);
    let (took, status) = (began.elapsed(), status.as_u16());
    let route = answered.and_then(|request| request.app_data::<Template>());
    if let Some(route) = route {
        route.record(method, status, took);
    }
    info!(
        parent: None,
        request = id.as_str(),
        trace_id = answered.and_then(|request| trace_id(request.headers())),
        key = actor.as_ref().map(|actor| actor.key.as_str()),
        user = actor.as_ref().and_then(|actor| actor.user.as_deref()),
        method,
        route = route.map_or(UNMATCHED, |route| &*route.template),
        status,
        latency_ms = took.as_micros() as f64 / 1000.0,
        "Request completed"
    );
    outcome
}

/// The trace that a request belongs to.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let parent = headers.get("traceparent")?;
    request_id::trace_id(parent.to_str().ok()?)
}

/// Returns a method's name from a fixed set, which bounds the number of time series.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
