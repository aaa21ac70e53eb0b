//! What is kept of every request, on whichever listener: its id, in its answer and in the log, and one line of what became
//! of it.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, Instant},
};

use ::metrics::Histogram;
use actix_web::{
    Error, HttpMessage,
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
    domain::request_id::{self, RequestId},
    telemetry::metrics,
};

/// The header that names a request, in what comes and in what is answered.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a path is called that no route has.
const UNMATCHED: &str = "unmatched";

/// The template of a route, in the data of its resource: cheaper than to look for it among all of them once more. What is
/// answered without one has its line, and is not measured: operators' own requests.
pub struct Template {
    template: Box<str>,
    /// By method and status. Each of the server's threads has routes of its own, so nobody waits for them.
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

    /// What has no route.
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

/// Names a request, and opens its span: its id, and the trace that it belongs to. The span is there at the levels debug
/// and trace, for the lines that do not name the request themselves.
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

    /// Nothing: [`log_request`] knows more.
    fn on_request_end<B: MessageBody>(_: Span, _: &Result<ServiceResponse<B>, Error>) {}
}

/// Puts a request's id into its answer, and writes its line: the route, never what was asked with its texts.
pub async fn log_request<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
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
    let (took, status) = (began.elapsed(), status.as_u16());
    let route = answered.and_then(|request| request.app_data::<Template>());
    if let Some(route) = route {
        route.record(method, status, took);
    }
    info!(
        parent: None,
        request = id.as_str(),
        trace_id = answered.and_then(|request| trace_id(request.headers())),
        method,
        route = route.map_or(UNMATCHED, |route| &*route.template),
        status,
        latency_ms = took.as_micros() as f64 / 1000.0,
        "answered"
    );
    outcome
}

/// The trace that a request belongs to.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let parent = headers.get("traceparent")?;
    request_id::trace_id(parent.to_str().ok()?)
}

/// A method's name; there are but so many.
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
