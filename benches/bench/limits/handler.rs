//! The same requests, parsed, and responses of the same bytes, without stores.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::{
    HttpResponse,
    http::header::LOCATION,
    web::{self, Json, Path, ServiceConfig},
};
use serde::{Deserialize, Serialize};

use super::CHAT;
use crate::texts;

#[derive(Deserialize)]
pub struct Posted {
    pub message: String,
}

#[derive(Serialize)]
struct Created<'a> {
    #[serde(rename = "Application")]
    application: &'a str,
    #[serde(rename = "Chat")]
    chat: u64,
    #[serde(rename = "MessageID")]
    number: u64,
    #[serde(rename = "Message")]
    text: &'a str,
}

/// The response to a creation.
pub fn created(app: &str, chat: u64, number: u64, text: &str) -> HttpResponse {
    let location = format!("/application/{app}/chat/{chat}/message/{number}");
    let body = Created {
        application: app,
        chat,
        number,
        text,
    };
    HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(body)
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "Application")]
    application: &'a str,
    #[serde(rename = "Chat")]
    chat: u64,
    #[serde(rename = "MessageID")]
    number: String,
    #[serde(rename = "Message")]
    text: &'a str,
    #[serde(rename = "CreatedAt")]
    created_at: &'a str,
}

/// The response to a read of a message.
pub fn shown(app: &str, chat: u64, number: u64, text: &str, created_at: &str) -> HttpResponse {
    HttpResponse::Ok().json(Shown {
        application: app,
        chat,
        number: number.to_string(),
        text,
        created_at,
    })
}

#[derive(Clone, Serialize)]
struct Listed {
    #[serde(rename = "appID")]
    app: String,
    #[serde(rename = "chatID")]
    chat: u64,
    #[serde(rename = "messageID")]
    number: u64,
    message: String,
    #[serde(rename = "createdAt")]
    created_at: &'static str,
}

const CREATED_AT: &str = "2026-11-24T12:00:00.000Z";

fn list(app: &str, chat: u64, count: u64) -> HttpResponse {
    let items: Vec<Listed> = (1..=count)
        .map(|number| Listed {
            app: app.to_owned(),
            chat,
            number,
            message: texts::message(number),
            created_at: CREATED_AT,
        })
        .collect();
    HttpResponse::Ok().json(items)
}

/// The routes of the mixed load.
pub fn routes(app: &mut ServiceConfig) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    app.route("/up", web::get().to(HttpResponse::Ok))
        .route(
            &format!("{CHAT}/message"),
            web::post().to(async |path: Path<(String, u64)>, posted: Json<Posted>| {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                created(&path.0, path.1, number, &posted.message)
            }),
        )
        .service(
            web::resource(format!("{CHAT}/message/{{message}}"))
                .route(web::get().to(async |path: Path<(String, u64, u64)>| {
                    shown(&path.0, path.1, path.2, &texts::message(path.2), CREATED_AT)
                }))
                .route(
                    web::put().to(async |_: Path<(String, u64, u64)>, _: Json<Posted>| {
                        HttpResponse::Ok().json(serde_json::json!({"status": "success"}))
                    }),
                ),
        )
        .route(
            &format!("{CHAT}/messages"),
            web::get().to(async |path: Path<(String, u64)>| list(&path.0, path.1, 100)),
        )
        .route(
            &format!("{CHAT}/search/{{word}}"),
            web::get().to(async |path: Path<(String, u64, String)>| {
                list(&path.0, path.1, texts::RARE_HITS)
            }),
        );
}
