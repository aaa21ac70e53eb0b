//! The scripts that make each step on the queue atomic.
//!
//! Scripts are called by digest only, never by source: Redis forgets them when it restarts or fails over, and the error
//! of a missing script reveals that (see `epoch`).

use deadpool_redis::redis;

/// Lua script and its digest.
pub struct Script {
    /// Source: flags, shared code and the script's own code.
    pub source: String,
    /// Digest by which it is called.
    pub sha: String,
}

impl Script {
    fn new(flags: &str, text: &str) -> Self {
        let source = format!("#!lua{flags}\n{}\n{text}", include_str!("lua/common.lua"));
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha }
    }
}

/// Flag of scripts that also run when Redis is out of memory. Workers must drain the queue then, so only the acceptance
/// of writes and its probe are without it.
const ALLOW_OOM: &str = " flags=allow-oom";
const READ_ONLY: &str = " flags=no-writes";

/// Defines the scripts with their flags. Each has a file in `lua/`, which documents arguments and response.
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
