//! The API behaves as its OpenAPI description says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    Client, Fixture, Response, Server, apply, credentials::key_id, eventually_eq,
    on_each_guarded_server, on_each_server, on_embedded,
};

/// The description that a process serves.
struct Description(Value);

impl Description {
    async fn of(api: &Client) -> Self {
        let response = api.get("/openapi.json").await;
        response.expect_status(200);
        let mut document = response.json();
        assert_eq!(document["openapi"], "3.1.0");
        // Undocumented fields are errors here, although clients are asked to ignore them.
        let schemas = document["components"]["schemas"].as_object_mut();
        for schema in schemas.expect("schemas").values_mut() {
            if schema["type"] == "object" {
                schema["additionalProperties"] = json!(false);
            }
        }
        Self(document)
    }

    /// Every method of every path, with its description.
    fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths").iter();
        paths
            .flat_map(|(path, item)| {
                let item = item.as_object().expect("methods").iter();
                item.map(move |(method, documented)| {
                    (method.to_uppercase(), path.clone(), documented)
                })
            })
            .collect()
    }

    /// Fails unless a value matches a schema.
    fn validate(&self, schema: &Value, value: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .expect("a schema");
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{error} at {}", error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {value:#}");
    }

    /// Fails unless a response is documented for this method and path.
    fn check(&self, method: &str, path: &str, response: &Response) {
        let what = format!("{method} {path}, {response}");
        let documented = &self.0["paths"][path][method.to_lowercase()];
        let documented_response = &documented["responses"][response.status.to_string()];
        assert!(
            documented_response.is_object(),
            "{what}: an undocumented response"
        );
        let content = documented_response["content"].as_object();
        let Some((media, content)) = content.and_then(|content| content.iter().next()) else {
            assert_eq!(response.body, "", "{what}");
            return;
        };
        assert_eq!(
            response.header("content-type"),
            Some(media.as_str()),
            "{what}"
        );
        self.validate(&content["schema"], &response.json(), &what);
        for name in [
            "etag",
            "location",
            "link",
            "retry-after",
            "confab-state",
            "idempotent-replayed",
        ] {
            if let Some(value) = response.header(name) {
                let documented = documented_response["headers"].as_object().expect("headers");
                let documented = documented
                    .iter()
                    .find(|(documented, _)| documented.to_lowercase() == name);
                assert!(documented.is_some(), "{what}: {name}: {value}");
            }
        }
        // The texts of errors are documented one by one.
        if let Some(examples) = content["examples"].as_object() {
            let body = response.json();
            let known = examples.values().any(|example| example["value"] == body);
            assert!(known, "{what}: an undocumented error text");
        }
    }
}

/// A tour of the API. Each step is a method, a path template, its parameters, and a body.
#[apply(on_each_server!)]
async fn every_response_is_documented(server: &Server) {
    let api = server.client();
    let description = Description::of(&api).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    api.create_message(&chat, "hello again").await;
    eventually_eq("search", vec![1, 2], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    api.update_message(&chat, 1, "hello, changed").await;

    const APP: &str = "/application/{app}";
    const CHAT: &str = "/application/{app}/chat/{chat}";
    const CHANGES: &str = "/application/{app}/changes";
    let now = format!("/application/{}/changes?after=now", chat.app);
    let mut future = api.get(now).await.text_field("next");
    // The highest bits of the revision.
    future.replace_range(16..17, "B");
    let (chats, messages) = (format!("{APP}/chats"), format!("{CHAT}/messages"));
    let (create, message) = (
        format!("{CHAT}/message"),
        format!("{CHAT}/message/{{message}}"),
    );
    let (search, by_path) = (format!("{CHAT}/search"), format!("{CHAT}/search/{{query}}"));
    let long = json!({"message": "x".repeat(16_001), "username": "x".repeat(256)}).to_string();
    let huge = "x".repeat(262_145);
    let text = r#"{"message":"hello","username":"me"}"#;
    let mut walked = BTreeSet::new();
    for (method, template, query, body, status) in [
        ("POST", "/application", "", text, 201),
        ("GET", APP, "", "", 200),
        ("POST", &format!("{APP}/chat"), "", "", 201),
        ("POST", &chats, "", "", 201),
        ("GET", &chats, "?limit=1&after=1", "", 200),
        ("GET", CHAT, "", "", 200),
        ("POST", &create, "", text, 201),
        ("GET", &message, "", "", 200),
        ("PUT", &message, "", text, 200),
        ("GET", &messages, "?limit=1&after=1", "", 200),
        ("GET", &search, "?q=hello", "", 200),
        ("GET", &by_path, "?limit=1", "", 200),
        ("GET", "/up", "", "", 200),
        ("GET", "/readyz", "", "", 200),
        ("GET", "/openapi.json", "", "", 200),
        ("GET", &messages, "?limit=0", "", 400),
        ("GET", &messages, "?after=x", "", 400),
        ("GET", &chats, "?before=0", "", 400),
        ("GET", CHANGES, "", "", 200),
        ("GET", CHANGES, "?wait=1&after=now", "", 200),
        ("GET", CHANGES, "?after=x", "", 400),
        ("GET", CHANGES, &format!("?after={future}"), "", 410),
        ("GET", &search, "?limit=101", "", 400),
    ] {
        let path = filled(template, &chat.app, "1");
        let response = api.send(method, format!("{path}{query}"), &[], body).await;
        response.expect_status(status);
        description.check(method, template, &response);
        walked.insert((method.to_owned(), template.to_owned()));
    }
    let condition = [("if-match", "\"0000000000000001\"")];
    let key = [("idempotency-key", "key")];
    let (first, second) = (chat.message(1), format!("/application/{}/chat/2", chat.app));
    for (method, template, path, headers, body, status) in [
        ("PUT", &*message, &*first, &condition, text, 412),
        ("DELETE", &message, &first, &condition, "", 412),
        ("POST", &create, &format!("{chat}/message"), &key, text, 201),
        ("POST", &create, &format!("{chat}/message"), &key, text, 201),
        (
            "POST",
            &create,
            &format!("{chat}/message"),
            &key,
            r#"{"message":"other"}"#,
            422,
        ),
        (
            "POST",
            &create,
            &format!("{chat}/message"),
            &[("idempotency-key", " ")],
            text,
            400,
        ),
        ("DELETE", &message, &chat.message(2), &[("x", "")], "", 200),
        ("DELETE", &message, &chat.message(2), &[("x", "")], "", 404),
        ("DELETE", CHAT, &second, &[("x", "")], "", 200),
        ("DELETE", CHAT, &second, &[("x", "")], "", 404),
    ] {
        let response = api.send(method, path, headers, body).await;
        response.expect_status(status);
        description.check(method, template, &response);
        walked.insert((method.to_owned(), template.to_owned()));
    }
    // Every documented operation was called.
    let documented = description.operations().into_iter();
    let documented: BTreeSet<_> = documented.map(|(method, path, _)| (method, path)).collect();
    assert_eq!(walked, documented);

    for (method, template, documented) in description.operations() {
        let path = filled(&template, &chat.app, "1");
        if template.contains('{') {
            let nowhere = filled(&template, "00000000", "007");
            let response = api.send(&method, nowhere, &[], text).await;
            response.expect_status(404);
            description.check(&method, &template, &response);
        }
        if documented["requestBody"].is_object() {
            for (declared, body, status) in [
                ("application/json", "", 400),
                ("application/json", "{}", 400),
                ("application/json", "{", 400),
                ("application/json", "[]", 400),
                ("application/json", r#"{"message":1,"username":1}"#, 400),
                (
                    "application/json",
                    r#"{"message":"\u0000","username":"\u0000"}"#,
                    400,
                ),
                ("application/json", &long, 400),
                ("application/json", &huge, 413),
                ("text/plain", text, 415),
            ] {
                let headers = [("content-type", declared)];
                let response = api.send(&method, &path, &headers, body).await;
                response.expect_status(status);
                description.check(&method, &template, &response);
            }
        }
        // HEAD is GET without the body, and OPTIONS is documented once for all paths.
        let response = api.raw("OPTIONS", &path, "").await;
        response.expect_status(204);
        let allow: BTreeSet<_> = response
            .header("allow")
            .expect("methods")
            .split(", ")
            .collect();
        let item = description.0["paths"][&template]
            .as_object()
            .expect("methods");
        let mut methods: BTreeSet<_> = item.keys().map(|method| method.to_uppercase()).collect();
        if methods.contains("GET") {
            methods.insert("HEAD".into());
            let head = api.raw("HEAD", &path, "").await;
            head.expect_status(200);
            assert_eq!(head.body, "", "{head:#?}");
        }
        methods.insert("OPTIONS".into());
        assert_eq!(
            allow,
            methods.iter().map(String::as_str).collect(),
            "{path}"
        );
    }
}

fn filled(template: &str, app: &str, number: &str) -> String {
    template
        .replace("{app}", app)
        .replace("{chat}", number)
        .replace("{message}", number)
        .replace("{query}", "hello")
}

#[apply(on_each_guarded_server!)]
async fn responses_of_required_mode_are_documented(server: &Server) {
    const KEYS: &str = "/application/{app}/keys";
    const KEY: &str = "/application/{app}/keys/{keyID}";
    const TOKEN: &str = "/application/{app}/token";
    const REVOKE: &str = "/application/{app}/token/revoke";
    let api = server.client();
    let description = Description::of(&api).await;
    let app = api.new_app().await;
    let key = api.new_key(&app, &json!({})).await;
    let owner = api.with_credential(&key);
    let users = ["{}", r#"{"user":1}"#, r#"{"user":"\u0000"}"#, "[]", "["];
    let long = json!({"user": "x".repeat(256), "name": "x".repeat(256)}).to_string();
    let chats =
        json!({"user": "alice", "chats": (1_u64 << 52..(1 << 52) + 1000).collect::<Vec<_>>()});
    let mut steps = vec![
        (&api, "GET", "/applications", "?limit=1", String::new(), 200),
        (&api, "GET", "/applications", "?after=x", String::new(), 400),
        (&api, "GET", "/applications", "?limit=0", String::new(), 400),
        (
            &api,
            "POST",
            KEYS,
            "",
            r#"{"name":"new","expiresAt":"2999-01-01T00:00:00Z"}"#.into(),
            201,
        ),
        (&api, "POST", KEYS, "", r#"{"name":1}"#.into(), 400),
        (&api, "POST", KEYS, "", r#"{"name":"\u0000"}"#.into(), 400),
        (&api, "POST", KEYS, "", r#"{"name":"\ud800"}"#.into(), 400),
        (&api, "POST", KEYS, "", r#"{"readOnly":1}"#.into(), 400),
        (&api, "POST", KEYS, "", r#"{"expiresAt":1}"#.into(), 400),
        (&api, "POST", KEYS, "", long.clone(), 400),
        (&api, "GET", KEYS, "", String::new(), 200),
        (
            &owner,
            "POST",
            TOKEN,
            "",
            r#"{"user":"alice","chats":"*"}"#.into(),
            200,
        ),
        (
            &owner,
            "POST",
            TOKEN,
            "",
            r#"{"user":"alice","chats":1}"#.into(),
            400,
        ),
        (
            &owner,
            "POST",
            TOKEN,
            "",
            r#"{"user":"alice","can":1}"#.into(),
            400,
        ),
        (
            &owner,
            "POST",
            TOKEN,
            "",
            r#"{"user":"alice","expiresIn":0}"#.into(),
            400,
        ),
        (&owner, "POST", TOKEN, "", chats.to_string(), 400),
        (&owner, "POST", TOKEN, "", long.clone(), 400),
        (
            &owner,
            "POST",
            REVOKE,
            "",
            r#"{"user":"alice"}"#.into(),
            200,
        ),
        (&owner, "POST", REVOKE, "", long, 400),
        (
            &api,
            "PATCH",
            KEY,
            "",
            r#"{"expiresAt":"2999-01-01T00:00:00Z"}"#.into(),
            200,
        ),
        (&api, "PATCH", KEY, "", "{}".into(), 400),
        (&api, "PATCH", KEY, "", r#"{"expiresAt":"x"}"#.into(), 400),
        (&api, "DELETE", KEY, "", String::new(), 200),
        (&api, "DELETE", KEY, "", String::new(), 404),
        (
            &api,
            "PATCH",
            KEY,
            "",
            r#"{"expiresAt":"2999-01-01T00:00:00Z"}"#.into(),
            404,
        ),
        (&owner, "GET", "/application/{app}", "", String::new(), 401),
    ];
    for path in [TOKEN, REVOKE] {
        let wrong = users.map(|body| (&owner, "POST", path, "", body.to_owned(), 400));
        steps.splice(0..0, wrong);
    }
    for (client, method, template, query, body, status) in steps {
        let path = filled(template, &app.id, "1").replace("{keyID}", key_id(&key));
        let json = [("content-type", "application/json")];
        let response = client
            .send(method, format!("{path}{query}"), &json, body)
            .await;
        response.expect_status(status);
        description.check(method, template, &response);
    }
}

#[apply(on_embedded!)]
async fn every_operation_has_a_valid_example(fixture: &Fixture) {
    for settings in [Vec::new(), fixture.guarded()] {
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let api = fixture.start_with(&settings).await;
        expect_valid_examples(&Description::of(&api).await);
    }
}

fn expect_valid_examples(description: &Description) {
    let mut ids = BTreeSet::new();
    for (method, path, documented) in description.operations() {
        let what = format!("{method} {path}");
        assert!(documented["summary"].is_string(), "{what}");
        assert!(documented["tags"][0].is_string(), "{what}");
        assert!(ids.insert(documented["operationId"].to_string()), "{what}");
        for parameter in documented["parameters"].as_array().unwrap_or(&Vec::new()) {
            let what = format!("{what}: {}", parameter["name"]);
            assert!(parameter["description"].is_string(), "{what}");
            description.validate(&parameter["schema"], &parameter["example"], &what);
        }
        let responses = documented["responses"].as_object().expect("responses");
        for (status, documented_response) in responses {
            let what = format!("{what}, {status}");
            let headers = documented_response["headers"].as_object();
            for (name, header) in headers.into_iter().flatten() {
                let what = format!("{what}: {name}");
                assert!(header["description"].is_string(), "{what}");
                description.validate(&header["schema"], &header["example"], &what);
            }
            let content = documented_response["content"].as_object();
            for content in content.into_iter().flat_map(|content| content.values()) {
                description.check_examples(content, &what);
            }
        }
        if let Some(content) = documented["requestBody"]["content"].as_object() {
            for content in content.values() {
                description.check_examples(content, &what);
            }
        }
    }
}

impl Description {
    /// An example is next to a schema, or in the schema that it refers to.
    fn check_examples(&self, content: &Value, what: &str) {
        let schema = &content["schema"];
        let mut examples = Vec::new();
        if let Some(several) = content["examples"].as_object() {
            examples.extend(several.values().map(|example| example["value"].clone()));
        }
        examples.extend(content.get("example").cloned());
        let item = schema.get("items").unwrap_or(schema);
        if let Some(name) = item["$ref"].as_str() {
            let named = self.0.pointer(name.trim_start_matches('#'));
            let example = named.expect("a schema").get("example").cloned();
            let in_place = |example| match schema.get("items") {
                Some(_) => json!([example]),
                None => example,
            };
            examples.extend(example.map(in_place));
        }
        assert!(!examples.is_empty(), "{what}: no example");
        for example in examples {
            self.validate(schema, &example, what);
        }
    }
}

#[apply(on_each_server!)]
async fn documented_bounds_are_enforced(server: &Server) {
    let api = server.client();
    let description = Description::of(&api).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("search", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    for (method, template, documented) in description.operations() {
        for parameter in documented["parameters"].as_array().unwrap_or(&Vec::new()) {
            let name = parameter["name"].as_str().expect("a name");
            let schema = &parameter["schema"];
            let schema = schema.pointer("/oneOf/0").unwrap_or(schema);
            if parameter["in"] != "query" || schema["type"] != "integer" {
                continue;
            }
            let bound = |name| schema[name].as_i64().expect("a number");
            let (least, most) = (bound("minimum"), bound("maximum"));
            for (value, status) in [(least - 1, 400), (least, 200), (most, 200), (most + 1, 400)] {
                let path = filled(&template, &chat.app, "1");
                let path = format!("{path}?{name}={value}");
                let response = api.send(&method, path, &[], "").await;
                response.expect_status(status);
                description.check(&method, &template, &response);
            }
        }
    }
}

#[apply(on_embedded!)]
async fn openapi_command_prints_the_description(fixture: &Fixture) {
    let api = fixture.start().await;
    let printed = async |settings: &[(&str, &str)]| -> Value {
        let printed = fixture.confab_with(&["openapi"], settings).await;
        printed.expect_code(0);
        serde_json::from_str(&printed.stdout).expect("JSON")
    };
    let open = printed(&[]).await;
    assert_eq!(open, api.get("/openapi.json").await.json());
    assert_eq!(open["paths"].get("/applications"), None);
    let required = printed(&[("CONFAB_AUTH__MODE", "required")]).await;
    assert!(required["paths"]["/applications"].is_object());
}

#[apply(on_embedded!)]
async fn docs_page_loads_nothing_from_other_hosts(fixture: &Fixture) {
    let api = fixture.start().await;
    let entered = api.get("/docs").await;
    entered.expect_status(308);
    assert_eq!(entered.header("location"), Some("docs/"));
    let page = api.get("/docs/").await;
    let mut files = vec!["swagger-initializer.js".to_owned()];
    for part in page.body.split(['"', '\'']) {
        assert!(!part.contains("//"), "{part}: {page:#?}");
        if let Some(file) = part.strip_prefix("./") {
            files.push(file.into());
        }
    }
    assert!(files.len() > 4, "{files:?}");
    for file in files.iter().map(String::as_str).chain([""]) {
        let response = api.get(format!("/docs/{file}")).await;
        response.expect_status(200);
        let policy = response
            .header("content-security-policy")
            .expect("a policy");
        for rule in [
            "default-src 'none'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
    }
    let script = api.get("/docs/swagger-initializer.js").await.body;
    assert!(script.contains("/openapi.json"), "{script}");
    assert!(!script.contains("http"), "{script}");
    for nowhere in [
        "/docs/nothing.js",
        "/docs/../openapi",
        "/docs/%2e%2e/Cargo.toml",
    ] {
        api.raw("GET", nowhere, "")
            .await
            .expect_error(404, "Not found");
    }
}
