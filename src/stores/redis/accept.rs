//! Accepting writes, a group of them by one script.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::{
    Redis,
    connection::Via,
    epoch::{ATTEMPTS, Scope},
    failed, read_id,
};
use crate::{
    domain::{AppId, Number, RequestId, Write},
    stores::{Acceptance, Error, Result, payload},
};

/// A write as the script wants it.
pub(super) struct Draft {
    kind: &'static str,
    app: AppId,
    /// The chat that a message belongs to, else 0.
    chat: Number,
    /// The message that an update is of, else 0.
    target: Number,
    /// What counts its number; nothing counts applications.
    scope: Option<Scope>,
    /// What is known of the payload.
    payload: String,
}

impl Draft {
    pub fn new(write: &Write, request: Option<&RequestId>) -> Self {
        let (app, chat, target, scope) = match write {
            Write::CreateApplication { id, .. } => (*id, 0, 0, None),
            Write::CreateChat { app } => (*app, 0, 0, Some(Scope::Application(*app))),
            Write::CreateMessage { chat, .. } => {
                (chat.app, chat.number, 0, Some(Scope::Chat(*chat)))
            }
            Write::UpdateMessage { message, .. } => {
                let chat = message.chat;
                (
                    chat.app,
                    chat.number,
                    message.number,
                    Some(Scope::Chat(chat)),
                )
            }
        };
        Self {
            kind: write.kind().name(),
            app,
            chat,
            target,
            scope,
            payload: payload::draft(write, request),
        }
    }
}

impl Redis {
    /// Accepts writes, in their order, and answers in it.
    pub(super) async fn accept_all(&self, drafts: &[Draft]) -> Vec<Result<Acceptance>> {
        let mut answers: Vec<Option<Result<Acceptance>>> = drafts.iter().map(|_| None).collect();
        for _ in 0..ATTEMPTS {
            let open: Vec<usize> = (0..drafts.len())
                .filter(|place| answers[*place].is_none())
                .collect();
            if open.is_empty() {
                break;
            }
            match self.accept_group(drafts, &open).await {
                Ok(settled) => {
                    for (place, answer) in open.into_iter().zip(settled) {
                        answers[place] = answer;
                    }
                }
                Err(error) => {
                    for place in open {
                        answers[place] = Some(Err(error.clone()));
                    }
                }
            }
        }
        let unsettled = || {
            Err(Error::Unavailable {
                store: "Redis",
                detail: "its counters keep being of an older epoch".into(),
            })
        };
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(unsettled))
            .collect()
    }

    /// Offers those of the drafts that are open; `None` where a counter had to be raised first, and the draft is to be
    /// offered once more.
    async fn accept_group(
        &self,
        drafts: &[Draft],
        open: &[usize],
    ) -> Result<Vec<Option<Result<Acceptance>>>> {
        let answer = self
            .call(Via::Shared, &self.scripts.accept, |command| {
                command.arg(self.queue_depth).arg(self.dead_letters);
                for draft in open.iter().map(|place| &drafts[*place]) {
                    command.arg(draft.kind).arg(draft.app.to_string());
                    command.arg(draft.chat).arg(draft.target);
                    command.arg(&draft.payload);
                }
            })
            .await?;
        let verdicts = || open.iter().zip(answer.chunks_exact(3));
        // Many writes of a group want the same counter: it is raised once.
        let behind: HashMap<Scope, &str> = verdicts()
            .filter(|(_, verdict)| verdict[0] == "counter")
            .filter_map(|(place, verdict)| Some((drafts[*place].scope?, verdict[1].as_str())))
            .collect();
        let raise = behind.into_iter().map(async |(scope, epoch)| {
            let raised = self.raise_counter(scope, epoch).await;
            (scope, raised)
        });
        let exists: HashMap<Scope, Result<bool>> = join_all(raise).await.into_iter().collect();
        let settle = |(place, verdict): (&usize, &[String])| match verdict[0].as_str() {
            "ok" => Some(accepted(&verdict[1], &verdict[2])),
            "missing" => Some(Ok(Acceptance::Missing)),
            "taken" => Some(Ok(Acceptance::Taken)),
            "full" => Some(Err(Error::Full(verdict[1].clone()))),
            other => match drafts[*place].scope.and_then(|scope| exists.get(&scope)) {
                Some(Ok(true)) => None,
                Some(Ok(false)) => Some(Ok(Acceptance::Missing)),
                Some(Err(error)) => Some(Err(error.clone())),
                None => Some(Err(failed(format!("accepting answered {other:?}")))),
            },
        };
        Ok(verdicts().map(settle).collect())
    }
}

fn accepted(number: &str, id: &str) -> Result<Acceptance> {
    Ok(Acceptance::Accepted {
        number: number
            .parse()
            .map_err(|_| failed(format!("{number:?} is no number")))?,
        revision: read_id(id)?,
    })
}
