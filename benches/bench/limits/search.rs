//! The bare handler with a raw `_search` of the same query, whose response is forwarded unchanged.

use actix_web::{
    HttpResponse,
    error::ErrorInternalServerError,
    web::{self, Data, Path},
};
use anyhow::Result;
use reqwest::{
    Client,
    header::{ACCEPT_ENCODING, CONTENT_TYPE},
};

use super::CHAT;
use crate::stores::NAME;

struct Raw {
    client: Client,
    url: String,
}

pub async fn serve(port: &str, elasticsearch: &str) -> Result<()> {
    let raw = Data::new(Raw {
        client: Client::builder().no_proxy().build()?,
        url: format!(
            "{elasticsearch}/{NAME}/_search?allow_partial_search_results=false\
             &filter_path=timed_out,_shards.failed,hits.hits._version,hits.hits._source"
        ),
    });
    super::serve(port, move |app| {
        app.app_data(raw.clone())
            .route("/up", web::get().to(HttpResponse::Ok))
            .route(&format!("{CHAT}/search/{{word}}"), web::get().to(search));
    })
    .await
}

/// The program's query for one word.
async fn search(
    path: Path<(String, u64, String)>,
    raw: Data<Raw>,
) -> actix_web::Result<HttpResponse> {
    let (app, chat, word) = path.into_inner();
    let query = format!(
        "{{\"query\":{{\"bool\":{{\"filter\":[{{\"term\":{{\"chat\":\"{app}:{chat:016}\"}}}},\
         {{\"prefix\":{{\"words\":\"{word}\"}}}}]}}}},\"sort\":[{{\"chat\":\"asc\"}},{{\"number\":\"desc\"}}],\
         \"size\":20,\"version\":true,\"track_total_hits\":false}}"
    );
    let request = raw
        .client
        .post(&raw.url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT_ENCODING, "identity")
        .body(query);
    let response = request
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let response = response.map_err(ErrorInternalServerError)?.bytes().await;
    let response = response.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(response))
}
