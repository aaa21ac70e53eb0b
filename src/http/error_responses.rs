//! OpenAPI responses of errors. They are made from the error values of the handlers.

use std::collections::BTreeMap;

use actix_web::ResponseError;
use serde_json::json;
use utoipa::openapi::{
    Content, Ref, RefOr, Response, Type, example::Example, example::ExampleBuilder,
    header::HeaderBuilder, response::ResponseBuilder, schema::ObjectBuilder,
};

use super::error::HttpError;

/// Responses by status.
pub type Responses = BTreeMap<String, RefOr<Response>>;

/// Describes one response for each status of the errors, with each of their texts as an example.
pub fn describe(errors: impl IntoIterator<Item = HttpError>) -> Responses {
    let mut by_status = BTreeMap::<String, Vec<HttpError>>::new();
    for error in errors {
        let status = error.status_code().as_str().to_owned();
        by_status.entry(status).or_default().push(error);
    }
    by_status
        .into_iter()
        .map(|(status, errors)| (status, response(&errors).into()))
        .collect()
}

/// Adds errors to the responses of an operation, which may have others with the same status.
pub fn add(responses: &mut Responses, errors: impl IntoIterator<Item = HttpError>) {
    for (status, added) in describe(errors) {
        if let Some(RefOr::T(response)) = responses.get_mut(&status)
            && let RefOr::T(added) = added
        {
            merge(response, added);
        } else {
            responses.insert(status, added);
        }
    }
}

/// Adds the texts and headers of a response to another one with the same status.
fn merge(response: &mut Response, added: Response) {
    let texts = |response: &Response| -> Vec<String> {
        let contents = response
            .content
            .values()
            .filter_map(|content| match content {
                RefOr::T(content) => Some(content.examples.keys().cloned()),
                RefOr::Ref(_) => None,
            });
        contents.flatten().collect()
    };
    let known = texts(response);
    for text in texts(&added) {
        if !known.contains(&text) {
            response.description += "; ";
            response.description += &text;
        }
    }
    for (media_type, content) in added.content {
        if let Some(RefOr::T(known)) = response.content.get_mut(&media_type)
            && let RefOr::T(content) = content
        {
            known.examples.extend(content.examples);
        }
    }
    response.headers.extend(added.headers);
}

fn response(errors: &[HttpError]) -> Response {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let examples = texts.iter().map(|text| {
        let example = ExampleBuilder::new().value(Some(json!({"error": text})));
        (text.clone(), RefOr::<Example>::from(example))
    });
    let mut content = Content::new(Some(Ref::from_schema_name("Error")));
    content.examples = examples.collect();
    let mut response = ResponseBuilder::new()
        .description(texts.join("; "))
        .content("application/json", content);
    if let Some(seconds) = errors.iter().find_map(HttpError::retry_after) {
        let mut header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
            .description(Some("Seconds after which a retry can succeed."))
            .build();
        header.example = Some(json!(seconds));
        response = response.header("Retry-After", header);
    }
    if let Some(challenge) = errors.iter().find_map(HttpError::challenge) {
        let mut header = HeaderBuilder::new()
            .description(Some("What the credential lacks (RFC 6750)."))
            .build();
        header.example = Some(json!(challenge));
        response = response.header("WWW-Authenticate", header);
    }
    response.build()
}
