//! Every error is `{"error":"<text>"}`, and the texts are part of the contract.

use serde_json::json;

use crate::support::{App, Chat, Client, Server, apply, on_each_server};

/// A request with a text, and the names of that text.
struct Route {
    method: &'static str,
    path: String,
    /// The field in the body.
    field: &'static str,
    /// The field in an error.
    name: &'static str,
}

/// Every request with a body.
async fn routes_with_a_body(api: &Client) -> Vec<Route> {
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "as created").await;
    let message = |method, path| Route {
        method,
        path,
        field: "message",
        name: "Message",
    };
    vec![
        Route {
            method: "POST",
            path: "/application".into(),
            field: "username",
            name: "Username",
        },
        message("POST", format!("{chat}/message")),
        message("PUT", chat.message(1)),
    ]
}

#[apply(on_each_server!)]
async fn invalid_body_returns_400_naming_the_field_and_the_rule(server: &Server) {
    const NOT_JSON: &str = "Body must be valid JSON in UTF-8";
    const NO_OBJECT: &str = "Body must be a JSON object";
    const SURROGATE: &str = "NAME must not contain an unpaired surrogate";
    let api = server.client();
    // FIELD and NAME are the route's.
    let text_bodies = [
        ("", "NAME is required"),
        ("{}", "NAME is required"),
        (r#"{"other":"text"}"#, "NAME is required"),
        (r#"{"FIELD":null}"#, "NAME is required"),
        (r#"{"FIELD":""}"#, "NAME is required"),
        (r#"{"FIELD":" "}"#, "NAME is required"),
        (r#"{"FIELD":" \t\r\n"}"#, "NAME is required"),
        (r#"{"FIELD":"\u00a0\u2003\u3000"}"#, "NAME is required"),
        // Field names are case-sensitive.
        (r#"{"NAME":"text"}"#, "NAME is required"),
        (r#"{"FIELD":0}"#, "NAME must be a string"),
        (r#"{"FIELD":-1.5e3}"#, "NAME must be a string"),
        (r#"{"FIELD":1e999}"#, "NAME must be a string"),
        (r#"{"FIELD":true}"#, "NAME must be a string"),
        (r#"{"FIELD":false}"#, "NAME must be a string"),
        (r#"{"FIELD":[]}"#, "NAME must be a string"),
        (r#"{"FIELD":["text"]}"#, "NAME must be a string"),
        (r#"{"FIELD":{}}"#, "NAME must be a string"),
        (r#"{"FIELD":{"FIELD":"text"}}"#, "NAME must be a string"),
        // Nothing visible: controls, default-ignorable characters, blank Braille, Hangul fillers.
        (r#"{"FIELD":"\u0000"}"#, "NAME is required"),
        (
            r#"{"FIELD":"\u0001\u001f\u007f\u0085\u009f"}"#,
            "NAME is required",
        ),
        (
            r#"{"FIELD":"\u200b\u200c\u200d\u2060\ufeff"}"#,
            "NAME is required",
        ),
        (r#"{"FIELD":"\u2800"}"#, "NAME is required"),
        (
            r#"{"FIELD":"\u115f\u1160\u3164\uffa0"}"#,
            "NAME is required",
        ),
        (
            r#"{"FIELD":"\u00ad\u034f\u061c\u180e\ufe0f"}"#,
            "NAME is required",
        ),
        (
            r#"{"FIELD":" \u200e\u2066\u2069\u202e\t"}"#,
            "NAME is required",
        ),
        // A language tag, and a variation selector beyond the BMP.
        (
            r#"{"FIELD":"\udb40\udc01\udb40\udd00"}"#,
            "NAME is required",
        ),
        (
            r#"{"FIELD":"a text\u0000with it"}"#,
            "NAME must not contain U+0000",
        ),
        (r#"{"FIELD":"text"#, NOT_JSON),
        (r#"{"FIELD":"text""#, NOT_JSON),
        (r#"{"FIELD":"text"}}"#, NOT_JSON),
        (r#"{"FIELD":"text"} and more"#, NOT_JSON),
        (r#"{"FIELD":"text",}"#, NOT_JSON),
        (r#"{"FIELD" "text"}"#, NOT_JSON),
        (r#"{"FIELD":'text'}"#, NOT_JSON),
        (r#"{FIELD:"text"}"#, NOT_JSON),
        (r#"{"FIELD":text}"#, NOT_JSON),
        (r#"{"FIELD":"bad \x escape"}"#, NOT_JSON),
        ("{\"FIELD\":\"raw\nline break\"}", NOT_JSON),
        ("{\"FIELD\":\"raw \0\"}", NOT_JSON),
        ("FIELD=text", NOT_JSON),
        ("{", NOT_JSON),
        ("]", NOT_JSON),
        // Unpaired surrogates, which no text contains.
        (r#"{"FIELD":"\ud800"}"#, SURROGATE),
        (r#"{"FIELD":"\udfff"}"#, SURROGATE),
        (r#"{"FIELD":"\ud83dtext"}"#, SURROGATE),
        (r#"{"FIELD":"\ud83d\ud83d"}"#, SURROGATE),
        (r#"{"FIELD":"\ude00\ud83d"}"#, SURROGATE),
        (r#"{"FIELD":"\ud83d\n\ude00"}"#, SURROGATE),
        (r#"{"FIELD":"text \uD83D\u0041"}"#, SURROGATE),
        (r#"{"FIELD":"\ud83"}"#, NOT_JSON),
        (r#"{"\ud83d":1,"FIELD":1}"#, "NAME must be a string"),
        ("[]", NO_OBJECT),
        (r#"[{"FIELD":"text"}]"#, NO_OBJECT),
        (r#""FIELD""#, NO_OBJECT),
        ("null", NO_OBJECT),
        ("true", NO_OBJECT),
        ("42", NO_OBJECT),
    ];
    // The part between `{"FIELD":` and `}`.
    let values: [&[u8]; 5] = [
        b"\"\xff\"",
        // Overlong encoding, and an unpaired surrogate.
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        // Truncated.
        b"\"\xf0\x9f\x98\"",
        // The whole body must be UTF-8.
        b"\"text\",\"other\":\"\xff\"",
    ];
    let mut wrong = Vec::new();
    for route in routes_with_a_body(&api).await {
        let fill = |text: &str| {
            text.replace("FIELD", route.field)
                .replace("NAME", route.name)
        };
        let bodies = text_bodies
            .map(|(body, error)| (fill(body).into_bytes(), fill(error)))
            .into_iter()
            .chain(values.map(|value| {
                let body = [b"{\"", route.field.as_bytes(), b"\":", value, b"}"].concat();
                (body, NOT_JSON.into())
            }));
        for (body, error) in bodies {
            let json = [("content-type", "application/json")];
            let shown = String::from_utf8_lossy(&body).into_owned();
            let response = api.send(route.method, &route.path, &json, body).await;
            // Checks all cases even if one fails.
            if !response.is_error(400, &error) {
                wrong.push(format!("{shown} {response} instead of {error:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[apply(on_each_server!)]
async fn rejected_requests_change_nothing(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    api.create_message(&chat, "as created").await;
    let path = chat.message(1);
    let before = api.get(&path).await.body;
    for body in [json!({"message": ""}), json!({"message": 1}), json!([])] {
        api.post(format!("{chat}/message"), &body)
            .await
            .expect_status(400);
        api.put(&path, &body).await.expect_status(400);
    }
    assert_eq!(api.get(&path).await.body, before);
    let list = api.get(format!("{chat}/messages")).await;
    assert_eq!(list.numbers("messageID"), [1]);
    assert_eq!(api.create_message(&chat, "the next").await, 2);
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "1");
}

#[apply(on_each_server!)]
async fn missing_resources_return_404_with_the_documented_text(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "no other process serves the file")
        .await;
    let nobody = App {
        id: "00000000".into(),
    };
    let no_chats = [
        Chat {
            app: nobody.id.clone(),
            number: 1,
        },
        Chat {
            number: 2,
            ..chat.clone()
        },
    ];
    let application = [
        ("GET", nobody.to_string()),
        ("GET", format!("{nobody}/chats")),
        ("POST", format!("{nobody}/chat")),
        ("POST", format!("{nobody}/chats")),
    ];
    for (method, path) in application {
        let response = api.send(method, path, &[], "").await;
        response.expect_error(404, "Application not found");
    }
    let message = json!({"message": "Hello, World!"});
    for chat in &no_chats {
        for path in [
            chat.to_string(),
            format!("{chat}/messages"),
            format!("{chat}/search"),
            format!("{chat}/search?q=hello"),
            format!("{chat}/search/hello"),
        ] {
            api.get(path).await.expect_error(404, "Chat not found");
        }
        let response = api.post(format!("{chat}/message"), &message).await;
        response.expect_error(404, "Chat not found");
    }
    for path in [
        no_chats[0].message(1),
        no_chats[1].message(1),
        chat.message(2),
    ] {
        api.get(&path).await.expect_error(404, "Message not found");
        let response = api.put(&path, &message).await;
        response.expect_error(404, "Message not found");
    }
}

#[apply(on_each_server!)]
async fn invalid_body_returns_400_even_for_missing_resources(server: &Server) {
    let api = server.client();
    let empty = json!({"message": ""});
    api.post("/application/00000000/chat/1/message", &empty)
        .await
        .expect_error(400, "Message is required");
    api.put("/application/00000000/chat/1/message/1", &empty)
        .await
        .expect_error(400, "Message is required");
}

#[apply(on_each_server!)]
async fn accepted_forms_of_a_text_are_stored_as_sent(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let path = format!("{chat}/message");
    let bodies: [(&[u8], &str); 8] = [
        // A byte order mark before the JSON is ignored, one in a text is a part of it.
        (b"\xef\xbb\xbf{\"message\":\"hello\"}", "hello"),
        (b"\xef\xbb\xbf \n{\"message\":\"hello\"}", "hello"),
        (r#"{"message":"\ufeffhello"}"#.as_bytes(), "\u{feff}hello"),
        // One visible character is enough.
        (
            r#"{"message":"\u200b.\u200b"}"#.as_bytes(),
            "\u{200b}.\u{200b}",
        ),
        (
            r#"{"message":"\u2800\u2801"}"#.as_bytes(),
            "\u{2800}\u{2801}",
        ),
        (r#"{"message":"\u0001x"}"#.as_bytes(), "\u{1}x"),
        (r#"{"message":"\ud83d\ude00"}"#.as_bytes(), "😀"),
        // Fields that are not read may hold anything.
        (
            br#"{"\ud83d":"\ud83d","other":["\udfff",{"\ud83d":1}],"message":"hello"}"#,
            "hello",
        ),
    ];
    for (number, (body, text)) in (1..).zip(bodies) {
        let shown = String::from_utf8_lossy(body);
        let response = api.send("POST", &path, &[], body).await;
        assert_eq!(response.status, 201, "{shown}: {response:#?}");
        assert_eq!(response.text_field("Message"), text, "{shown}");
        assert_eq!(api.text(&chat, number).await, text, "{shown}");
    }
    // Only one mark, and only there.
    for body in [
        &b"\xef\xbb\xbf\xef\xbb\xbf{\"message\":\"hello\"}"[..],
        b" \xef\xbb\xbf{\"message\":\"hello\"}",
        b"{\"message\":\"hello\"}\xef\xbb\xbf",
    ] {
        let response = api.send("POST", &path, &[], body).await;
        response.expect_error(400, "Body must be valid JSON in UTF-8");
    }
    let response = api.send("POST", &path, &[], b"\xef\xbb\xbf").await;
    response.expect_error(400, "Message is required");
}
