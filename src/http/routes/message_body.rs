//! Bodies of requests that write a message.

use utoipa::ToSchema;

use crate::{
    domain::{
        Invalid, MessageContent, MessageData, MessageText, NewMessage, Sender,
        message::{MAX_DATA_BYTES, MAX_MESSAGE_CHARS, MAX_SENDER_CHARS},
    },
    http::extract::body::{Body, Members, TextMember},
};

/// Member with the text.
const MESSAGE: TextMember = TextMember("message", "Message", MAX_MESSAGE_CHARS);

/// Member with the sender.
const SENDER: TextMember = TextMember("sender", "Sender", MAX_SENDER_CHARS);

/// Key of the data.
const DATA: &str = "data";

/// A message to create.
#[derive(ToSchema)]
#[schema(as = NewMessage, example = json!({"message": "Hello, World!", "sender": "alice", "data": {"replyTo": 3}}))]
pub struct Creation {
    /// At least one visible character, and no U+0000.
    #[schema(value_type = String, min_length = 1, max_length = 16000, pattern = r"^[^\u0000]*[^\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8][^\u0000]*$")]
    message: MessageText,
    /// ID of its sender in your system, without U+0000.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    sender: Option<Sender>,
    /// An object of at most 4,096 bytes as compact JSON. Members keep their order, numbers their digits. It is not searched.
    #[schema(value_type = Option<Object>)]
    data: Option<MessageData>,
}

/// New text and data of a message.
#[derive(ToSchema)]
#[schema(as = Text, example = json!({"message": "Guess what?"}))]
pub struct Replacement {
    /// At least one visible character, and no U+0000.
    #[schema(value_type = String, min_length = 1, max_length = 16000, pattern = r"^[^\u0000]*[^\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8][^\u0000]*$")]
    message: MessageText,
    /// An object of at most 4,096 bytes as compact JSON. Without it, the message has no data any more.
    #[schema(value_type = Option<Object>)]
    data: Option<MessageData>,
}

impl Body for Creation {
    const TEXTS: &'static [TextMember] = &[MESSAGE];
    const FURTHER: &'static [&'static str] = &[SENDER.0, DATA];

    fn further_errors() -> Vec<Invalid> {
        let TextMember(_, field, limit) = SENDER;
        let mut errors = vec![
            Invalid::Empty(field),
            Invalid::NotAString(field),
            Invalid::TooLong { field, limit },
            Invalid::Nul(field),
            Invalid::Surrogate(field),
        ];
        errors.extend(data_errors());
        errors
    }

    fn parse(members: &Members<'_>) -> Result<Self, Invalid> {
        let sender = members.optional_text(&SENDER)?;
        Ok(Self {
            message: MessageText::parse(members.text(&MESSAGE)?)?,
            sender: sender.map(Sender::parse).transpose()?,
            data: data(members)?,
        })
    }
}

impl Body for Replacement {
    const TEXTS: &'static [TextMember] = &[MESSAGE];
    const FURTHER: &'static [&'static str] = &[DATA];

    fn further_errors() -> Vec<Invalid> {
        data_errors().into()
    }

    fn parse(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            message: MessageText::parse(members.text(&MESSAGE)?)?,
            data: data(members)?,
        })
    }
}

impl From<Creation> for NewMessage {
    fn from(
        Creation {
            message,
            sender,
            data,
        }: Creation,
    ) -> Self {
        let text = message;
        Self {
            content: MessageContent { text, data },
            sender,
        }
    }
}

impl From<Replacement> for MessageContent {
    fn from(Replacement { message, data }: Replacement) -> Self {
        let text = message;
        Self { text, data }
    }
}

fn data(members: &Members<'_>) -> Result<Option<MessageData>, Invalid> {
    members.json(DATA).map(MessageData::parse).transpose()
}

fn data_errors() -> [Invalid; 3] {
    let (field, limit) = ("Data", MAX_DATA_BYTES);
    [
        Invalid::NotAnObjectMember(field),
        Invalid::TooLarge { field, limit },
        Invalid::Surrogate(field),
    ]
}
