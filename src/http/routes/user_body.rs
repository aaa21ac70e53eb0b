//! Body of a request that names a user.

use utoipa::ToSchema;

use crate::{
    auth::token::MAX_USER_CHARS,
    domain::Invalid,
    http::extract::body::{Body, Members, TextMember},
};

/// Member with the user.
pub const USER: TextMember = TextMember("user", "user", MAX_USER_CHARS);

/// Parses the member `user`. Any text is a user, also one without a visible character.
pub fn user(members: &Members<'_>) -> Result<String, Invalid> {
    let TextMember(_, field, limit) = USER;
    let user = members.text(&USER)?;
    if user.is_empty() {
        return Err(Invalid::Required(field));
    }
    if user.contains('\0') {
        return Err(Invalid::Nul(field));
    }
    if user.chars().count() > limit {
        return Err(Invalid::TooLong { field, limit });
    }
    Ok(user)
}

/// A user: the sender of messages, and the subject of tokens.
#[derive(ToSchema)]
#[schema(as = User, example = json!({"user": "alice"}))]
pub struct UserBody {
    /// The user. No U+0000.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    pub user: String,
}

impl Body for UserBody {
    const TEXTS: &'static [TextMember] = &[USER];

    fn parse(members: &Members<'_>) -> Result<Self, Invalid> {
        user(members).map(|user| Self { user })
    }
}
