//! Routes of an application's keys.

use actix_web::{HttpResponse, web::Data};
use chrono::DateTime;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::{Auth, NewKey},
    domain::{AppId, Invalid, Key, KeyName, Timestamp, key::MAX_NAME_CHARS, time::rfc3339},
    http::{
        error::HttpResult,
        extract::{
            JsonBody,
            body::{Body, Members, TextMember},
            path::KeyPath,
        },
        response::{self, Success},
    },
    service::Service,
};

const NAME: TextMember = TextMember("name", "name", MAX_NAME_CHARS);
const READ_ONLY: &str = "readOnly";
const EXPIRES_AT: &str = "expiresAt";

/// Parses the member `expiresAt`, if it is given.
fn expires_at(members: &Members<'_>) -> Result<Option<Timestamp>, Invalid> {
    let Some(json) = members.json(EXPIRES_AT) else {
        return Ok(None);
    };
    let text: Option<String> = serde_json::from_str(json.get()).ok();
    let time = text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    let time = time.ok_or(Invalid::NotATime(EXPIRES_AT))?;
    Ok(Some(time.to_utc()))
}

/// A key to create.
#[derive(ToSchema)]
#[schema(as = NewKey, rename_all = "camelCase", example = json!({"name": "backend", "readOnly": false, "expiresAt": "2027-11-23T00:00:00Z"}))]
pub struct KeyRequest {
    /// Name for people; without it empty. No U+0000.
    #[schema(value_type = Option<String>, max_length = 255, pattern = r"^[^\u0000]*$", required = false)]
    name: KeyName,
    /// A key that can only read; without it `false`.
    #[schema(value_type = Option<bool>, required = false)]
    read_only: bool,
    /// Time in RFC 3339 from which the key is refused; without it never.
    #[schema(value_type = Option<String>, format = DateTime, required = false)]
    expires_at: Option<Timestamp>,
}

impl Body for KeyRequest {
    const TEXTS: &'static [TextMember] = &[];
    const FURTHER: &'static [&'static str] = &[NAME.0, READ_ONLY, EXPIRES_AT];

    fn further_errors() -> Vec<Invalid> {
        let TextMember(_, field, limit) = NAME;
        vec![
            Invalid::NotAString(field),
            Invalid::TooLong { field, limit },
            Invalid::Nul(field),
            Invalid::Surrogate(field),
            Invalid::NotABoolean(READ_ONLY),
            Invalid::NotATime(EXPIRES_AT),
        ]
    }

    fn parse(members: &Members<'_>) -> Result<Self, Invalid> {
        let name = members.optional_text(&NAME)?.unwrap_or_default();
        let read_only = match members.json(READ_ONLY).map(|json| json.get()) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Invalid::NotABoolean(READ_ONLY)),
        };
        Ok(Self {
            name: KeyName::parse(name)?,
            read_only,
            expires_at: expires_at(members)?,
        })
    }
}

/// A key that was created. This is the only response with its text.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "keyID": "3k9x0p2m7q1z", "key": "cfb_3k9x0p2m7q1z_…", "appID": "dec969c6", "name": "backend", "readOnly": false,
    "createdAt": "2026-11-23T22:02:53.218Z", "expiresAt": "2027-11-23T00:00:00.000Z",
}))]
struct KeyCreated {
    /// Its ID, which is no secret.
    #[serde(rename = "keyID")]
    #[schema(pattern = "^[0-9a-z]{12}$")]
    id: String,
    /// Its text, which is the secret.
    key: String,
    /// The application whose key it is.
    #[serde(rename = "appID")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    app: String,
    /// Name for people.
    name: String,
    /// True if it can only read.
    read_only: bool,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
    /// UTC, in milliseconds: the time from which it is refused; null if never.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
}

/// A key, without its text.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "keyID": "3k9x0p2m7q1z", "name": "backend", "readOnly": false, "createdAt": "2026-11-23T22:02:53.218Z",
    "expiresAt": null, "lastUsedAt": "2026-11-27",
}))]
struct ListedKey {
    /// Its ID.
    #[serde(rename = "keyID")]
    #[schema(pattern = "^[0-9a-z]{12}$")]
    id: String,
    /// Name for people.
    name: String,
    /// True if it can only read.
    read_only: bool,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
    /// UTC, in milliseconds: the time from which it is refused; null if never.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// Day of its last use, in UTC; null if it was never used.
    #[schema(required, format = Date)]
    last_used_at: Option<String>,
}

impl From<Key> for ListedKey {
    fn from(key: Key) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            read_only: key.read_only,
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            last_used_at: key.last_used.map(|day| day.to_string()),
        }
    }
}

/// Create a key
///
/// Store its text: no other response has it.
#[utoipa::path(
    post, path = "/application/{app}/keys", operation_id = "createKey", tag = "Access",
    params(AppId),
    request_body(content = KeyRequest, description = "JSON in UTF-8, up to 256 KiB."),
    responses((status = 201, description = "The key was created.", body = KeyCreated), JsonBody<KeyRequest>, AppId),
)]
pub async fn create(
    app: AppId,
    auth: Data<Auth>,
    JsonBody(new): JsonBody<KeyRequest>,
) -> HttpResult {
    let new = NewKey {
        app: Some(app),
        name: new.name,
        read_only: new.read_only,
        expires_at: new.expires_at,
    };
    let (text, key) = auth.create_key(&new).await?;
    let created = KeyCreated {
        id: key.id.to_string(),
        key: text.as_str().to_owned(),
        app: app.to_string(),
        name: key.name,
        read_only: key.read_only,
        created_at: rfc3339(key.created_at),
        expires_at: key.expires_at.map(rfc3339),
    };
    let created = response::created(format!("keys/{}", key.id)).json(created);
    Ok(response::with_credential(created))
}

/// List an application's keys
///
/// Without revoked ones, and without those that expired more than a week ago.
#[utoipa::path(
    get, path = "/application/{app}/keys", operation_id = "listKeys", tag = "Access",
    params(AppId),
    responses((status = 200, description = "The keys, by creation.", body = Vec<ListedKey>), AppId),
)]
pub async fn list(app: AppId, auth: Data<Auth>, service: Data<Service>) -> HttpResult {
    service.application(app).await?;
    let keys = auth.keys(app).await?.into_iter();
    let keys: Vec<_> = keys.map(ListedKey::from).collect();
    Ok(HttpResponse::Ok().json(keys))
}

/// The new end of a key.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"expiresAt": "2026-11-28T00:00:00Z"}))]
pub struct KeyEnd {
    /// Time in RFC 3339 from which the key is refused.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl Body for KeyEnd {
    const TEXTS: &'static [TextMember] = &[];
    const FURTHER: &'static [&'static str] = &[EXPIRES_AT];

    fn further_errors() -> Vec<Invalid> {
        vec![Invalid::Required(EXPIRES_AT), Invalid::NotATime(EXPIRES_AT)]
    }

    fn parse(members: &Members<'_>) -> Result<Self, Invalid> {
        let expires_at = expires_at(members)?.ok_or(Invalid::Required(EXPIRES_AT))?;
        Ok(Self { expires_at })
    }
}

/// Set the end of a key
///
/// Its tokens end with it.
#[utoipa::path(
    patch, path = "/application/{app}/keys/{keyID}", operation_id = "expireKey", tag = "Access",
    params(KeyPath),
    request_body(content = KeyEnd, description = "JSON in UTF-8, up to 256 KiB."),
    responses((status = 200, description = "The key.", body = ListedKey), JsonBody<KeyEnd>, KeyPath),
)]
pub async fn expire(
    KeyPath(app, id): KeyPath,
    auth: Data<Auth>,
    JsonBody(end): JsonBody<KeyEnd>,
) -> HttpResult {
    let key = auth.expire_key(app, id, Some(end.expires_at)).await?;
    Ok(HttpResponse::Ok().json(ListedKey::from(key)))
}

/// Revoke a key
///
/// Every process refuses it, and the tokens that it signed, within a second.
#[utoipa::path(
    delete, path = "/application/{app}/keys/{keyID}", operation_id = "revokeKey", tag = "Access",
    params(KeyPath),
    responses((status = 200, description = "The key was revoked.", body = Success), KeyPath),
)]
pub async fn revoke(KeyPath(app, id): KeyPath, auth: Data<Auth>) -> HttpResult {
    auth.revoke_key(app, id).await?;
    Ok(response::success())
}
