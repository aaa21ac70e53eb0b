//! Routes of user tokens.

use std::collections::BTreeSet;

use actix_web::{
    HttpResponse,
    web::{Data, ReqData},
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type},
};

use super::user_body::{USER, UserBody, user};
use crate::{
    auth::{
        Auth, AuthError, Caller, NewToken,
        token::{Action, Chats, MAX_CHATS, MAX_TOKEN_CHARS},
    },
    domain::{AppId, Invalid, number::MAX_NUMBER, time::rfc3339},
    http::{
        error::HttpResult,
        extract::{
            JsonBody,
            body::{Body, Members, TextMember},
            text,
        },
        response,
    },
    service::Service,
};

/// Lifetime of a token in seconds, if the request has none.
const DEFAULT_EXPIRES_IN: u64 = 900;

/// Default of `auth.token_max_ttl_s`, for the description.
const DEFAULT_MAX_TTL: u64 = 3600;

fn expires_in_error(max: u64) -> Invalid {
    Invalid::Parameter {
        name: "expiresIn",
        min: 1,
        max,
    }
}

/// A token to sign.
#[derive(ToSchema)]
#[schema(as = NewToken, rename_all = "camelCase", example = json!({"user": "alice", "chats": [1, 5], "can": ["read", "write"], "expiresIn": 900}))]
pub struct TokenRequest {
    /// The user, who is the sender of what the token's bearer writes. No U+0000.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    user: String,
    /// `"*"`, or up to 1,000 numbers of chats; without it none.
    #[schema(schema_with = chats_schema, required = false)]
    chats: Chats,
    /// What the user may do in these chats: `read`, `write`, `create_chat`; without it `read` and `write`.
    #[schema(schema_with = can_schema, required = false)]
    can: BTreeSet<Action>,
    /// Lifetime in seconds, up to `auth.token_max_ttl_s`; without it 900.
    #[schema(value_type = Option<u64>, minimum = 1, required = false)]
    expires_in: Option<u64>,
}

fn chats_schema() -> Schema {
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MAX_NUMBER));
    let numbers = ArrayBuilder::new().items(number).max_items(Some(MAX_CHATS));
    OneOfBuilder::new()
        .item(text().enum_values(Some(["*"])))
        .item(numbers)
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .build()
        .into()
}

fn can_schema() -> Schema {
    let action = text().enum_values(Some(["read", "write", "create_chat"]));
    OneOfBuilder::new()
        .item(ArrayBuilder::new().items(action))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .build()
        .into()
}

impl Body for TokenRequest {
    const TEXTS: &'static [TextMember] = &[USER];
    const FURTHER: &'static [&'static str] = &["chats", "can", "expiresIn"];

    fn further_errors() -> Vec<Invalid> {
        vec![
            Invalid::NotChats(MAX_CHATS),
            Invalid::NotActions,
            expires_in_error(DEFAULT_MAX_TTL),
            Invalid::TokenTooLong(MAX_TOKEN_CHARS),
        ]
    }

    fn parse(members: &Members<'_>) -> Result<Self, Invalid> {
        let user = user(members)?;
        let chats = match members.json("chats") {
            None => Chats::Some(BTreeSet::new()),
            Some(json) => {
                let chats = serde_json::from_str(json.get());
                chats.map_err(|_| Invalid::NotChats(MAX_CHATS))?
            }
        };
        let can = match members.json("can") {
            None => BTreeSet::from([Action::Read, Action::Write]),
            Some(json) => serde_json::from_str(json.get()).map_err(|_| Invalid::NotActions)?,
        };
        // What is no whole number counts as 0. The handler refuses both, because it knows the upper bound.
        let expires_in = members
            .json("expiresIn")
            .map(|json| json.get().parse().unwrap_or(0));
        Ok(Self {
            user,
            chats,
            can,
            expires_in,
        })
    }
}

/// A signed token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "expiresAt": "2026-11-23T22:17:53.000Z", "expiresIn": 900,
}))]
struct SignedToken {
    /// The token: a JWT, up to 7,000 characters.
    token: String,
    /// Its end: UTC, in milliseconds.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Its lifetime in seconds.
    expires_in: u64,
}

/// Sign a user token
///
/// A token ends with the key that signed it.
#[utoipa::path(
    post, path = "/application/{app}/token", operation_id = "createToken", tag = "Access",
    params(AppId),
    request_body(content = TokenRequest, description = "JSON in UTF-8, up to 256 KiB."),
    responses((status = 200, description = "The token.", body = SignedToken), JsonBody<TokenRequest>),
)]
pub async fn create(
    _app: AppId,
    caller: ReqData<Caller>,
    auth: Data<Auth>,
    JsonBody(new): JsonBody<TokenRequest>,
) -> HttpResult {
    let max = auth.token_max_ttl().as_secs();
    let expires_in = new.expires_in.unwrap_or(DEFAULT_EXPIRES_IN.min(max));
    if !(1..=max).contains(&expires_in) {
        return Err(expires_in_error(max).into());
    }
    // The access rule admits application keys only.
    let key = caller.key().ok_or(AuthError::Invalid)?;
    let new = NewToken {
        user: new.user,
        chats: new.chats,
        can: new.can,
        expires_in,
    };
    let issued = auth.issue(key, new).await??;
    let token = HttpResponse::Ok().json(SignedToken {
        token: issued.text,
        expires_at: rfc3339(issued.expires_at),
        expires_in: issued.expires_in,
    });
    Ok(response::with_credential(token))
}

/// Tokens that were revoked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"status": "success", "issuedUntil": 1795473173}))]
struct TokensRevoked {
    #[schema(pattern = "^success$")]
    status: &'static str,
    /// Tokens of the user are refused if their `iat` is not above this second.
    issued_until: i64,
}

/// Revoke a user's tokens
///
/// Every process refuses them within a second. The next token that Confab signs for the user is valid.
#[utoipa::path(
    post, path = "/application/{app}/token/revoke", operation_id = "revokeTokens", tag = "Access",
    params(AppId),
    request_body(content = UserBody, description = "JSON in UTF-8, up to 256 KiB."),
    responses((status = 200, description = "The tokens were revoked.", body = TokensRevoked), JsonBody<UserBody>, AppId),
)]
pub async fn revoke(
    app: AppId,
    caller: ReqData<Caller>,
    auth: Data<Auth>,
    service: Data<Service>,
    JsonBody(UserBody { user }): JsonBody<UserBody>,
) -> HttpResult {
    // The application of an application key exists.
    if caller.app().is_none() {
        service.application(app).await?;
    }
    let issued_until = auth.revoke_user(app, &user).await?;
    Ok(HttpResponse::Ok().json(TokensRevoked {
        status: "success",
        issued_until,
    }))
}
