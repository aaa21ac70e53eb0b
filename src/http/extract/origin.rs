//! Origin of a write: the ID of the request, and who sent it.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};

use crate::{
    auth::Caller,
    domain::{Origin, RequestId},
    http::error::HttpError,
};

impl FromRequest for Origin {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let id = extensions.get::<RequestId>().cloned();
        ready(Ok(Self {
            request: id.unwrap_or_else(RequestId::random),
            actor: extensions.get::<Caller>().and_then(Caller::actor),
        }))
    }
}
