//! Extractors: each type parses a part of a request, and describes that part and its errors for OpenAPI.
//!
//! actix polls the extractors of a handler in the order of its arguments and responds with the first error. All are
//! ready at the first poll except [`JsonBody`], which waits for the body. So errors come in the order of the
//! arguments, as long as a body is the last one.

/// Makes a type an extractor: how to parse a request, the parameters it reads, and the errors of parsing.
macro_rules! extractor {
    ([$($generics:tt)*] $type:ty, $parse:expr, $parameters:expr, $errors:expr $(,)?) => {
        impl<$($generics)*> actix_web::FromRequest for $type {
            type Error = HttpError;
            type Future = std::future::Ready<Result<Self, HttpError>>;

            fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
                std::future::ready($parse(request).map_err(HttpError::from))
            }
        }

        impl<$($generics)*> utoipa::IntoParams for $type {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                $parameters
            }
        }

        impl<$($generics)*> utoipa::IntoResponses for $type {
            fn responses() -> $crate::http::error_responses::Responses {
                $crate::http::error_responses::describe($errors.into_iter().map(HttpError::from))
            }
        }
    };
}

pub mod body;
mod changes;
pub mod cursor;
pub mod idempotency;
pub mod if_match;
mod origin;
pub mod page;
pub mod path;

use serde_json::Value;
use utoipa::openapi::{
    KnownFormat, ObjectBuilder, RefOr, Required, Schema, SchemaFormat, Type,
    path::{Parameter, ParameterBuilder, ParameterIn},
};

pub use self::{
    body::JsonBody, changes::ChangesQuery, cursor::CursorQuery, idempotency::IdempotencyHeader,
    if_match::IfMatch, page::PageQuery,
};
pub(in crate::http) use extractor;

/// Describes a parameter: required in a path, optional in a query.
pub fn parameter(
    location: ParameterIn,
    (name, description): (&str, &str),
    schema: impl Into<RefOr<Schema>>,
    example: impl Into<Value>,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(location)
        // utoipa makes those in a path required.
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(example.into()))
        .build()
}

/// Schema of a text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Schema of a whole number.
fn integer(min: u64, max: u64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(min))
        .maximum(Some(max))
}
