//! Access rules of routes, and the one place where they are applied.

use thiserror::Error;

use super::{
    caller::Caller,
    token::{Action, Chats, Token},
};
use crate::domain::{AppId, Number};

/// Requirement of a route for its callers in required mode. In open mode nothing is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing, not even a credential.
    Public,
    /// An installation key. The route exists in open mode, too.
    NewApplication,
    /// A key, or a user who may do this and has the chat of the path.
    Member(Action),
    /// A key, or a user who may read and has all chats.
    WholeApplication,
    /// Any key, and no user. The route exists in open mode, too.
    Server(Action),
    /// Any key. As the next two, only in required mode.
    Key(Action),
    /// An application key.
    ApplicationKey(Action),
    /// An installation key.
    InstallationKey(Action),
}

/// Reason for which a caller may not use a route. It does not depend on what exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The credential belongs to another application.
    #[error("the credential belongs to another application")]
    OtherApplication,
    /// The token does not grant the chat.
    #[error("the token does not grant the chat")]
    OtherChat,
    /// The caller may see the application, but not do this. The text is part of the contract.
    #[error("{0}")]
    Right(&'static str),
}

const READ: Refusal = Refusal::Right("read");
const WRITE: Refusal = Refusal::Right("write");
const CREATE_CHAT: Refusal = Refusal::Right("create_chat");
const NEEDS_KEY: Refusal = Refusal::Right("needs a key");
const NEEDS_APPLICATION_KEY: Refusal = Refusal::Right("needs an application key");
const NEEDS_INSTALLATION_KEY: Refusal = Refusal::Right("needs an installation key");

impl Access {
    /// Tells whether the route exists in open mode.
    pub fn exists_in_open_mode(self) -> bool {
        !matches!(
            self,
            Self::Key(_) | Self::ApplicationKey(_) | Self::InstallationKey(_)
        )
    }

    /// Missing rights that [`Self::check`] can return.
    pub fn refusals(self) -> Vec<Refusal> {
        let mut refusals = match self {
            Self::Public => return Vec::new(),
            Self::Member(_) => vec![right(self.action())],
            Self::WholeApplication => vec![NEEDS_KEY, READ],
            Self::Server(_) | Self::Key(_) => vec![NEEDS_KEY],
            Self::ApplicationKey(_) => vec![NEEDS_KEY, NEEDS_APPLICATION_KEY],
            Self::NewApplication | Self::InstallationKey(_) => {
                vec![NEEDS_KEY, NEEDS_INSTALLATION_KEY]
            }
        };
        // That of a read-only key.
        if self.action() != Action::Read && !refusals.contains(&WRITE) {
            refusals.push(WRITE);
        }
        refusals
    }

    /// Action of a caller on the route.
    fn action(self) -> Action {
        match self {
            Self::Public | Self::WholeApplication => Action::Read,
            Self::NewApplication => Action::Write,
            Self::Member(action)
            | Self::Server(action)
            | Self::Key(action)
            | Self::ApplicationKey(action)
            | Self::InstallationKey(action) => action,
        }
    }

    /// Checks that a caller may use the route with this application and this chat in its path.
    ///
    /// # Errors
    ///
    /// The first of: another application, another chat, a missing right.
    pub fn check(
        self,
        caller: &Caller,
        app: Option<AppId>,
        chat: Option<Number>,
    ) -> Result<(), Refusal> {
        let is_other = |own: AppId| app.is_some_and(|app| app != own);
        if caller.app().is_some_and(is_other) {
            return Err(Refusal::OtherApplication);
        }
        match caller {
            Caller::Anyone => Ok(()),
            Caller::Key(key) => self.check_key(key.key.app.is_some(), key.key.read_only),
            Caller::User { token, key } => self.check_user(token, key.key.read_only, chat),
        }
    }

    fn check_key(self, is_application_key: bool, read_only: bool) -> Result<(), Refusal> {
        if read_only && self.action() != Action::Read {
            return Err(WRITE);
        }
        match self {
            Self::ApplicationKey(_) if !is_application_key => Err(NEEDS_APPLICATION_KEY),
            Self::InstallationKey(_) | Self::NewApplication if is_application_key => {
                Err(NEEDS_INSTALLATION_KEY)
            }
            _ => Ok(()),
        }
    }

    fn check_user(
        self,
        token: &Token,
        read_only: bool,
        chat: Option<Number>,
    ) -> Result<(), Refusal> {
        if chat.is_some_and(|chat| !token.chats.contains(chat)) {
            return Err(Refusal::OtherChat);
        }
        let is_for_keys = match self {
            Self::Public | Self::Member(_) => false,
            Self::WholeApplication => token.chats != Chats::All,
            Self::NewApplication
            | Self::Server(_)
            | Self::Key(_)
            | Self::ApplicationKey(_)
            | Self::InstallationKey(_) => true,
        };
        if is_for_keys {
            return Err(NEEDS_KEY);
        }
        // A token can do no more than its key.
        let action = self.action();
        match token.can.contains(&action) && !(read_only && action != Action::Read) {
            true => Ok(()),
            false => Err(right(action)),
        }
    }
}

/// The right to do something.
fn right(action: Action) -> Refusal {
    match action {
        Action::Read => READ,
        Action::Write => WRITE,
        Action::CreateChat => CREATE_CHAT,
    }
}
