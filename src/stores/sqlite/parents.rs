//! Stored deletions of chats and applications, which prevent that anything is stored in them.

use diesel::{dsl::exists, prelude::*};

use super::{
    rows::signed,
    schema::{applications, chat_numbers, chats},
};
use crate::domain::MessageKey;

/// Tells whether the deletion of an application is stored.
pub(super) fn is_application_deleted(
    connection: &mut SqliteConnection,
    app: &str,
) -> QueryResult<bool> {
    let app = applications::table
        .find(app)
        .filter(applications::deleted_at.is_not_null());
    diesel::select(exists(app)).get_result(connection)
}

/// Chat into which messages are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent {
    /// ID in row IDs.
    pub id: i64,
    /// All messages up to this number are deleted.
    pub deleted_up_to: i64,
}

/// Returns the chat into which a message is stored, unless the deletion of the chat or of its application is stored. The queue
/// assigned its ID; an unknown chat gets one, with this message as its last.
pub(super) fn parent(
    connection: &mut SqliteConnection,
    message: MessageKey,
) -> QueryResult<Option<Parent>> {
    let (app, number) = (message.chat.app.to_string(), signed(message.chat.number));
    let of_application = applications::id.eq(chat_numbers::app);
    let of_chat = chats::app
        .eq(chat_numbers::app)
        .and(chats::number.eq(chat_numbers::number));
    type Found = (i64, Option<i64>, Option<i64>, Option<i64>);
    let found: Option<Found> = chat_numbers::table
        .left_join(applications::table.on(of_application))
        .left_join(chats::table.on(of_chat))
        .filter(chat_numbers::app.eq(&app))
        .filter(chat_numbers::number.eq(number))
        .select((
            chat_numbers::id,
            applications::deleted_at.nullable(),
            chats::deleted_at.nullable(),
            chats::deleted_up_to.nullable(),
        ))
        .first(connection)
        .optional()?;
    let parent = |id, deleted_up_to: Option<i64>| Parent {
        id,
        deleted_up_to: deleted_up_to.unwrap_or(0),
    };
    match found {
        Some((_, Some(_), ..) | (_, _, Some(_), _)) => Ok(None),
        Some((id, .., deleted_up_to)) => Ok(Some(parent(id, deleted_up_to))),
        None => {
            let id = diesel::insert_into(chat_numbers::table)
                .values((
                    chat_numbers::app.eq(app),
                    chat_numbers::number.eq(number),
                    chat_numbers::messages.eq(signed(message.number)),
                ))
                .returning(chat_numbers::id)
                .get_result(connection)?;
            Ok(Some(parent(id, None)))
        }
    }
}
