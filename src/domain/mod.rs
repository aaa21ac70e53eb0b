//! Types and rules of the domain, without I/O and without HTTP.

pub mod application;
pub mod changes;
pub mod chat;
pub mod condition;
pub mod error;
pub mod idempotency;
pub mod job;
pub mod key;
pub mod message;
pub mod number;
pub mod origin;
pub mod page;
pub mod request_id;
pub mod serialize;
pub mod text;
pub mod time;
pub mod write;

pub use application::{AppId, Application, LOST_USERNAME, Username};
pub use changes::{Changed, Changes, ChangesPage, Cursor, HistoryMark, HistoryPart, Since};
pub use chat::{Chat, ChatKey};
pub use condition::Condition;
pub use error::{Entity, Error, Invalid, Result};
pub use idempotency::{Hash, IdempotencyKey};
pub use job::{Action, Change, Job, KeyedCreation, Kind, Target};
pub use key::{Key, KeyId, KeyName, KeyText};
pub use message::{
    Message, MessageContent, MessageData, MessageKey, MessageText, NewMessage, Sender,
};
pub use number::{Number, Revision};
pub use origin::{Actor, JobOrigin, Origin};
pub use page::Page;
pub use request_id::RequestId;
pub use time::Timestamp;
pub use write::Write;
