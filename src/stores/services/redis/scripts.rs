//! The scripts that make each step on the queue atomic.
//!
//! They are called by their digest only, never by their source: Redis forgets scripts when it restarts or fails over,
//! and the error that a forgotten script gives is how that is noticed (see `epoch`).

use deadpool_redis::redis;

/// One Lua script, as Redis knows it.
pub struct Script {
    /// What is loaded: its flags, what all scripts share, and its own text.
    pub source: String,
    /// What it is called by.
    pub sha: String,
}

impl Script {
    fn new(flags: &str, text: &str) -> Self {
        let source = format!("#!lua{flags}\n{}\n{text}", include_str!("lua/common.lua"));
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha }
    }
}

/// A Redis that is out of memory refuses what takes more of it. Draining the queue must go on then, so everything but
/// the accepting of writes, and the check whether they would be accepted, is exempt.
const ALLOW_OOM: &str = " flags=allow-oom";
const READ_ONLY: &str = " flags=no-writes";

/// The scripts, each with its flags: each is of the file of its name in `lua/`, whose head documents arguments and
/// response.
macro_rules! scripts {
    ($($name:ident: $flags:expr;)+) => {
        /// All scripts.
        pub struct Scripts {
            $(pub $name: Script,)+
        }

        impl Scripts {
            /// Reads the scripts that are part of this program.
            pub fn new() -> Self {
                Self {
                    $($name: Script::new(
                        $flags,
                        include_str!(concat!("lua/", stringify!($name), ".lua")),
                    ),)+
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
    enqueue: "";
    capacity: "";
    learn: ALLOW_OOM;
    counter: READ_ONLY;
    pending: READ_ONLY;
    newest: READ_ONLY;
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
}
