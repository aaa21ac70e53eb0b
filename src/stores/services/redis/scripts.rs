//! The scripts that make each step on the queue atomic.
//!
//! Epoch, server and format are part of each script's text, so the scripts of each epoch have digests of their own. They are
//! called by digest only, never by source. A server that restarted, or on which this epoch did not begin, does not have
//! them, and the error of a missing script reveals that (see `epoch`).

use deadpool_redis::redis::{self, Cmd, ToRedisArgs, cmd};

use super::server::MasterId;
use crate::{domain::time::Clock, stores::format::FORMAT};

/// Lua script and its digest.
#[derive(Debug)]
pub struct Script {
    /// Source: flags, epoch and server, shared code and the script's own code.
    pub source: String,
    /// Digest by which it is called.
    pub sha: String,
}

/// Call of a script, without its digest, which depends on the epoch.
pub struct ScriptCall {
    script: fn(&EpochScripts) -> &Script,
    arguments: Cmd,
}

impl ScriptCall {
    /// The call of a script without arguments.
    pub fn new(script: fn(&EpochScripts) -> &Script) -> Self {
        Self {
            script,
            arguments: Cmd::new(),
        }
    }

    /// Adds an argument, or several.
    pub fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.arguments.arg(argument);
        self
    }

    /// The command that calls the script of an epoch on the keys with this prefix, at the time of this clock.
    pub fn command(&self, scripts: &EpochScripts, prefix: &str, clock: Clock) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&(self.script)(scripts).sha).arg(1).arg(prefix);
        for argument in self.arguments.args_iter() {
            if let redis::Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
        command.arg(clock.offset);
        command
    }
}

/// Flag of scripts that also run when Redis is out of memory. Workers must drain the queue then, so only the acceptance
/// of writes and its probe are without it.
const ALLOW_OOM: &str = " flags=allow-oom";
const READ_ONLY: &str = " flags=no-writes";

/// Defines the scripts with their flags. Each has a file in `lua/`, which documents arguments and response.
macro_rules! scripts {
    ($($name:ident: $flags:expr;)+) => {
        /// All scripts of one epoch on one server.
        #[derive(Debug)]
        pub struct EpochScripts {
            /// The epoch.
            pub epoch: u64,
            /// The server.
            pub server: MasterId,
            $(pub $name: Script,)+
        }

        impl EpochScripts {
            /// Makes the scripts of an epoch that began on this server.
            pub fn new(epoch: u64, server: &MasterId) -> Self {
                let script = |flags: &str, text: &str| {
                    let common = include_str!("lua/common.lua");
                    let source = format!(
                        "#!lua{flags}\nlocal EPOCH, SERVER, FORMAT = '{epoch}', '{server}', {FORMAT}\n{common}\n{text}"
                    );
                    let sha = redis::Script::new(&source).get_hash().to_owned();
                    Script { source, sha }
                };
                Self {
                    epoch,
                    server: server.clone(),
                    $($name: script($flags, include_str!(concat!("lua/", stringify!($name), ".lua"))),)+
                }
            }

            /// Every script, to be loaded together.
            pub fn all(&self) -> Vec<&Script> {
                vec![$(&self.$name),+]
            }
        }
    };
}

scripts! {
    confirm: ALLOW_OOM;
    enqueue: "";
    capacity: "";
    learn: ALLOW_OOM;
    counter: READ_ONLY;
    pending: READ_ONLY;
    newest: READ_ONLY;
    before: READ_ONLY;
    changes: READ_ONLY;
    revision: ALLOW_OOM;
    last_revisions: READ_ONLY;
    applications: READ_ONLY;
    chat_counts: READ_ONLY;
    claim: ALLOW_OOM;
    extend: ALLOW_OOM;
    acknowledge: ALLOW_OOM;
    fail: ALLOW_OOM;
    release: ALLOW_OOM;
    recover: ALLOW_OOM;
    stats: ALLOW_OOM;
    ids: READ_ONLY;
    jobs: READ_ONLY;
    retry: ALLOW_OOM;
    discard: ALLOW_OOM;
    pause: ALLOW_OOM;
    evict: ALLOW_OOM;
    erase: ALLOW_OOM;
}
