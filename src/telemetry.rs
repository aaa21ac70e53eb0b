//! The log: one line an event, to standard error.

use std::{
    io::{self, IsTerminal},
    time::Instant,
};

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
};
use tracing::{Span, info, info_span, level_filters::LevelFilter};
use tracing_actix_web::{RequestId, RootSpanBuilder};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Log, LogFormat, LogLevel};

/// Begins to log; a second call changes nothing.
pub fn start(settings: &Log) {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // The server's own news at each start is of no use to anybody, unless somebody wants to see everything.
    let server = if level > LevelFilter::INFO {
        level
    } else {
        level.min(LevelFilter::WARN)
    };
    let shown = Targets::new()
        .with_default(level)
        .with_target("actix_server", server);
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let log = tracing_subscriber::registry().with(shown);
    let _ = match settings.format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            log.with(lines).try_init()
        }
        LogFormat::Text => log.with(lines).try_init(),
    };
}

/// When a request began.
struct Began(Instant);

/// One line a request: what was asked (the route, never its texts), what it came to and how long it took.
pub struct RequestLog;

impl RootSpanBuilder for RequestLog {
    fn on_request_start(request: &ServiceRequest) -> Span {
        request.extensions_mut().insert(Began(Instant::now()));
        let id = request.extensions().get::<RequestId>().copied();
        info_span!(
            "request",
            id = id.map(tracing::field::display),
            method = %request.method(),
            route = request.match_pattern().unwrap_or_default(),
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let began = outcome.as_ref().ok().and_then(|response| {
            let extensions = response.request().extensions();
            extensions.get::<Began>().map(|Began(at)| *at)
        });
        let latency_ms = began.map(|at| at.elapsed().as_secs_f64() * 1000.0);
        span.in_scope(|| info!(status = status.as_u16(), latency_ms, "answered"));
    }
}
