//! The requests, and the responses they must get.

use crate::texts;

/// A request.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    /// GET, POST or PUT.
    pub method: &'static str,
    /// The path, with the query.
    pub path: String,
    /// The body: empty, or JSON.
    pub body: String,
}

/// The expectation of all responses to a load.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    /// The status.
    pub status: u16,
    /// A Lua pattern that the body contains.
    pub pattern: &'static str,
    /// The number of matches.
    pub count: u32,
}

/// A chat, as it appears in paths.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The ID of its application.
    pub app: String,
    /// Its number.
    pub number: u64,
}

/// The number of different requests that wrk sends in turn.
const VARIETY: u64 = 5000;

pub const CREATED: Expect = Expect {
    status: 201,
    pattern: "^{\"Application\":\"%x+\",\"Chat\":%d+,\"MessageID\":%d+,\"Message\":\"hello [^\"]+\"}$",
    count: 1,
};

pub const SHOWN: Expect = Expect {
    status: 200,
    pattern: "^{\"Application\":\"%x+\",\"Chat\":%d+,\"MessageID\":\"%d+\",\"Message\":\"hello [^\"]+\",\"CreatedAt\":\"[^\"]+\"}$",
    count: 1,
};

/// A list of `count` items.
pub fn listed(count: u32) -> Expect {
    Expect {
        status: 200,
        pattern: "{\"appID\":\"%x+\",\"chatID\":%d+,\"messageID\":%d+,\"message\":\"hello [^\"]+\",\"createdAt\":\"[^\"]+\"}",
        count,
    }
}

impl Chat {
    fn path(&self) -> String {
        format!("/application/{}/chat/{}", self.app, self.number)
    }

    /// Creates a message.
    pub fn create(&self, text: &str) -> RequestSpec {
        RequestSpec {
            method: "POST",
            path: format!("{}/message", self.path()),
            body: texts::body(text),
        }
    }

    /// Updates a message.
    pub fn update(&self, number: u64, text: &str) -> RequestSpec {
        RequestSpec {
            method: "PUT",
            path: format!("{}/message/{number}", self.path()),
            body: texts::body(text),
        }
    }

    /// Reads a message.
    pub fn show(&self, number: u64) -> RequestSpec {
        self.get(format!("message/{number}"))
    }

    /// Reads the 100 messages after a number.
    pub fn list(&self, after: u64) -> RequestSpec {
        self.get(format!("messages?after={after}"))
    }

    /// Searches for a whole word.
    pub fn search(&self, word: &str) -> RequestSpec {
        self.get(format!("search/{word}"))
    }

    fn get(&self, suffix: String) -> RequestSpec {
        RequestSpec {
            method: "GET",
            path: format!("{}/{suffix}", self.path()),
            body: String::new(),
        }
    }

    /// Creations for wrk.
    pub fn creates(&self) -> Vec<RequestSpec> {
        (0..VARIETY)
            .map(|n| self.create(&texts::message(n)))
            .collect()
    }

    /// Reads of messages spread over the first `messages`.
    pub fn shows(&self, messages: u64) -> Vec<RequestSpec> {
        scattered(messages).map(|n| self.show(n + 1)).collect()
    }

    /// Lists of 100 spread over the first `messages`.
    pub fn lists(&self, messages: u64) -> Vec<RequestSpec> {
        let last = messages.saturating_sub(99);
        scattered(last).map(|n| self.list(n)).collect()
    }

    /// The mixed load: of 20 requests 12 read (10 a message, 2 a list), 6 create, 1 updates and 1 searches.
    pub fn mixed(&self, n: u64, messages: u64) -> RequestSpec {
        let position = scatter(n, messages);
        match n % 20 {
            0..10 => self.show(position + 1),
            10 | 11 => self.list(scatter(n, messages.saturating_sub(99).max(1))),
            12..18 => self.create(&texts::message(n)),
            18 => self.update(position + 1, &texts::message(n)),
            _ => self.search(texts::RARE),
        }
    }
}

fn scattered(below: u64) -> impl Iterator<Item = u64> {
    let below = below.max(1);
    (0..VARIETY).map(move |n| scatter(n, below))
}

fn scatter(n: u64, below: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) % below
}
