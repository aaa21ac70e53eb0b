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

/// All of them: each is of the file of its name in `lua/`, which says at its head what goes in and comes out.
pub struct Scripts {
    pub accept: Script,
    pub room: Script,
    pub count: Script,
    pub scope: Script,
    pub pending: Script,
    pub newest: Script,
    pub claim: Script,
    pub extend: Script,
    pub acknowledge: Script,
    pub fail: Script,
    pub release: Script,
    pub recover: Script,
    pub stats: Script,
    pub ids: Script,
    pub jobs: Script,
    pub retry: Script,
    pub kill: Script,
    pub pause: Script,
}

/// A Redis that is out of memory refuses what takes more of it. Draining the queue must go on then, so everything but
/// the accepting of writes, and the look whether they would be accepted, is exempt.
const ALLOW_OOM: &str = " flags=allow-oom";
const READ_ONLY: &str = " flags=no-writes";

impl Scripts {
    /// Reads the scripts that are part of this program.
    pub fn new() -> Self {
        Self {
            accept: Script::new("", include_str!("lua/accept.lua")),
            room: Script::new("", include_str!("lua/room.lua")),
            count: Script::new(ALLOW_OOM, include_str!("lua/count.lua")),
            scope: Script::new(READ_ONLY, include_str!("lua/scope.lua")),
            pending: Script::new(READ_ONLY, include_str!("lua/pending.lua")),
            newest: Script::new(READ_ONLY, include_str!("lua/newest.lua")),
            claim: Script::new(ALLOW_OOM, include_str!("lua/claim.lua")),
            extend: Script::new(ALLOW_OOM, include_str!("lua/extend.lua")),
            acknowledge: Script::new(ALLOW_OOM, include_str!("lua/acknowledge.lua")),
            fail: Script::new(ALLOW_OOM, include_str!("lua/fail.lua")),
            release: Script::new(ALLOW_OOM, include_str!("lua/release.lua")),
            recover: Script::new(ALLOW_OOM, include_str!("lua/recover.lua")),
            stats: Script::new(ALLOW_OOM, include_str!("lua/stats.lua")),
            ids: Script::new(READ_ONLY, include_str!("lua/ids.lua")),
            jobs: Script::new(READ_ONLY, include_str!("lua/jobs.lua")),
            retry: Script::new(ALLOW_OOM, include_str!("lua/retry.lua")),
            kill: Script::new(ALLOW_OOM, include_str!("lua/kill.lua")),
            pause: Script::new(ALLOW_OOM, include_str!("lua/pause.lua")),
        }
    }

    /// Every script, to be loaded together.
    pub fn all(&self) -> [&Script; 18] {
        [
            &self.accept,
            &self.room,
            &self.count,
            &self.scope,
            &self.pending,
            &self.newest,
            &self.claim,
            &self.extend,
            &self.acknowledge,
            &self.fail,
            &self.release,
            &self.recover,
            &self.stats,
            &self.ids,
            &self.jobs,
            &self.retry,
            &self.kill,
            &self.pause,
        ]
    }
}
