use serde_json::value::RawValue;

use super::*;
use crate::domain::MessageData;

#[test]
fn what_is_drafted_and_completed_is_read_back() {
    let chat = ChatKey {
        app: AppId(0xdec9_69c6),
        number: 5,
    };
    let data: &RawValue = serde_json::from_str(r#"{"text":",\"text\":","n":1.0}"#).unwrap();
    let data = MessageData::parse(data).unwrap();
    let write = Write::update_message(MessageKey { chat, number: 3 }, "Guess \"what\"?")
        .with_data(Some(&data));
    let payload = format!(
        "{{\"at\":1000,\"number\":3,{}{}",
        origin(Some(500), Some("alice")),
        members(&write, None)
    );
    let Ok(Change::Message(message)) = read(Revision(7), &payload) else {
        panic!("{payload}");
    };
    assert_eq!(message.text, "Guess \"what\"?");
    assert_eq!(message.data.as_deref(), Some(data.as_str()));
    assert_eq!(message.sender.as_deref(), Some("alice"));
    assert_eq!(message.key, MessageKey { chat, number: 3 });
    assert_eq!(message.created_at, from_millis(500));
    assert_eq!(message.updated_at, Some(from_millis(1000)));
    assert_eq!(Head::read(&payload).target(), "dec969c6:5:3");
}

#[test]
fn a_job_names_the_request_that_left_it_and_an_older_one_none() {
    let id = RequestId::given("a\"b\\c}").unwrap();
    let chat = ChatKey {
        app: AppId(0xdec9_69c6),
        number: 5,
    };
    let write = Write::create_message(chat, "hello");
    for given in [Some(&id), None] {
        let (members, request) = (members(&write, given), given.map(RequestId::as_str));
        let payload = format!("{{\"at\":1000,\"number\":3,{members}");
        let read = job(Revision(7), 2, &payload);
        assert_eq!(read.origin.request.as_deref(), request, "{payload}");
        assert!(read.change.is_ok());
        let head = Head::read(&payload);
        assert_eq!(head.origin.request.as_deref(), request, "{payload}");
        assert_eq!((head.chat, head.number), (5, 3));
        let newer = payload.replace("\"v\":3", "\"v\":4");
        let refused = job(Revision(7), 2, &newer);
        assert!(refused.change.is_err());
        assert_eq!(refused.origin.request.as_deref(), request, "{newer}");
    }
}

/// Older programs must ignore members that they do not know; this is what makes additions compatible.
#[test]
fn a_member_that_is_not_known_is_passed_over() {
    let payload =
        r#"{"v":1,"at":1,"number":2,"kind":"create_chat","app":"dec969c6","new":{"a":[1]}}"#;
    assert!(read(Revision(7), payload).is_ok());
}

#[test]
fn a_newer_version_is_refused_and_not_guessed_at() {
    let refused = read(
        Revision(7),
        r#"{"v":4,"at":1,"kind":"create_chat","app":"dec969c6"}"#,
    );
    assert!(refused.is_err_and(|error| error.contains("version 4")));
}
