//! What the API says of itself is what it does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Answer, Process, Site, on_each_backing, on_embedded, settles};

/// The description that a process gives of itself.
struct Description(Value);

impl Description {
    async fn of(api: &Process) -> Self {
        let answer = api.get("/openapi.json").await;
        answer.expect_status(200);
        let mut document = answer.json();
        assert_eq!(document["openapi"], "3.1.0");
        // A field that nobody told of is a difference, too, although clients are asked to pass over it.
        let schemas = document["components"]["schemas"].as_object_mut();
        for schema in schemas.expect("schemas").values_mut() {
            if schema["type"] == "object" {
                schema["additionalProperties"] = json!(false);
            }
        }
        Self(document)
    }

    /// Every method of every path, with what is said of it.
    fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths").iter();
        paths
            .flat_map(|(path, item)| {
                let item = item.as_object().expect("methods").iter();
                item.map(move |(method, told)| (method.to_uppercase(), path.clone(), told))
            })
            .collect()
    }

    /// Fails unless a value is as a schema says.
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

    /// Fails unless an answer is one of those that are told of this method and path.
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let what = format!("{method} {path}, {answer}");
        let told = &self.0["paths"][path][method.to_lowercase()];
        let response = &told["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{what}: nobody told of it");
        let content = response["content"].as_object();
        let Some((media, content)) = content.and_then(|content| content.iter().next()) else {
            assert_eq!(answer.body, "", "{what}");
            return;
        };
        assert_eq!(
            answer.header("content-type"),
            Some(media.as_str()),
            "{what}"
        );
        self.validate(&content["schema"], &answer.json(), &what);
        for name in ["etag", "location", "link", "retry-after", "confab-state"] {
            if let Some(value) = answer.header(name) {
                let told = response["headers"].as_object().expect("headers");
                let told = told.iter().find(|(told, _)| told.to_lowercase() == name);
                assert!(told.is_some(), "{what}: {name}: {value}");
            }
        }
        // The texts of errors are told one by one.
        if let Some(examples) = content["examples"].as_object() {
            let body = answer.json();
            let known = examples.values().any(|example| example["value"] == body);
            assert!(known, "{what}: a text that nobody told of");
        }
    }
}

/// A walk through the API: each step a method, a path's template, what is put into it, and a body.
async fn each_answer_is_one_that_is_told(site: &Site) {
    let api = site.start().await;
    let description = Description::of(&api).await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    api.say(&chat, "hello again").await;
    settles("search", vec![1, 2], async || {
        api.found(&chat, "hello").await
    })
    .await;
    api.change(&chat, 1, "hello, changed").await;

    const APP: &str = "/application/{app}";
    const CHAT: &str = "/application/{app}/chat/{chat}";
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
        ("GET", &search, "?limit=101", "", 400),
    ] {
        let path = filled(template, &chat.app, "1");
        let answer = api.send(method, format!("{path}{query}"), &[], body).await;
        answer.expect_status(status);
        description.check(method, template, &answer);
        walked.insert((method.to_owned(), template.to_owned()));
    }
    // Whatever was told was walked to.
    let told = description.operations().into_iter();
    let told: BTreeSet<_> = told.map(|(method, path, _)| (method, path)).collect();
    assert_eq!(walked, told);

    for (method, template, told) in description.operations() {
        let path = filled(&template, &chat.app, "1");
        if template.contains('{') {
            let nowhere = filled(&template, "00000000", "007");
            let answer = api.send(&method, nowhere, &[], text).await;
            answer.expect_status(404);
            description.check(&method, &template, &answer);
        }
        if told["requestBody"].is_object() {
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
                let answer = api.send(&method, &path, &headers, body).await;
                answer.expect_status(status);
                description.check(&method, &template, &answer);
            }
        }
        // HEAD is what GET is without the body, and OPTIONS tells of all.
        let answer = api.raw("OPTIONS", &path, "").await;
        answer.expect_status(204);
        let allow: BTreeSet<_> = answer
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

async fn everything_has_an_example_that_is_right(site: &Site) {
    let api = site.start().await;
    let description = Description::of(&api).await;
    let mut ids = BTreeSet::new();
    for (method, path, told) in description.operations() {
        let what = format!("{method} {path}");
        assert!(told["summary"].is_string(), "{what}");
        assert!(told["tags"][0].is_string(), "{what}");
        assert!(ids.insert(told["operationId"].to_string()), "{what}");
        for parameter in told["parameters"].as_array().unwrap_or(&Vec::new()) {
            let what = format!("{what}: {}", parameter["name"]);
            assert!(parameter["description"].is_string(), "{what}");
            description.validate(&parameter["schema"], &parameter["example"], &what);
        }
        let responses = told["responses"].as_object().expect("responses");
        for (status, response) in responses {
            let what = format!("{what}, {status}");
            let headers = response["headers"].as_object();
            for (name, header) in headers.into_iter().flatten() {
                let what = format!("{what}: {name}");
                assert!(header["description"].is_string(), "{what}");
                description.validate(&header["schema"], &header["example"], &what);
            }
            let content = response["content"].as_object();
            for content in content.into_iter().flat_map(|content| content.values()) {
                description.check_examples(content, &what);
            }
        }
        if let Some(content) = told["requestBody"]["content"].as_object() {
            for content in content.values() {
                description.check_examples(content, &what);
            }
        }
    }
}

impl Description {
    /// Examples stand beside a schema, or in the one that it refers to.
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

async fn the_bounds_that_are_told_are_those_that_hold(site: &Site) {
    let api = site.start().await;
    let description = Description::of(&api).await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    settles("search", vec![1], async || api.found(&chat, "hello").await).await;
    for (method, template, told) in description.operations() {
        for parameter in told["parameters"].as_array().unwrap_or(&Vec::new()) {
            if parameter["in"] != "query" || parameter["schema"]["type"] != "integer" {
                continue;
            }
            let (name, schema) = (
                parameter["name"].as_str().expect("a name"),
                &parameter["schema"],
            );
            let bound = |name| schema[name].as_i64().expect("a number");
            let (least, most) = (bound("minimum"), bound("maximum"));
            for (value, status) in [(least - 1, 400), (least, 200), (most, 200), (most + 1, 400)] {
                let path = filled(&template, &chat.app, "1");
                let path = format!("{path}?{name}={value}");
                let answer = api.send(&method, path, &[], "").await;
                answer.expect_status(status);
                description.check(&method, &template, &answer);
            }
        }
    }
}

async fn the_command_prints_it(site: &Site) {
    let api = site.start().await;
    let printed = site.confab(&["openapi"]).await;
    printed.expect_code(0);
    let printed: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    assert_eq!(printed, api.get("/openapi.json").await.json());
}

async fn the_page_needs_nothing_from_elsewhere(site: &Site) {
    let api = site.start().await;
    let entered = api.get("/docs").await;
    entered.expect_status(308);
    assert_eq!(entered.header("location"), Some("/docs/"));
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
        let answer = api.get(format!("/docs/{file}")).await;
        answer.expect_status(200);
        let policy = answer.header("content-security-policy").expect("a policy");
        for rule in [
            "default-src 'none'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
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

on_each_backing!(
    each_answer_is_one_that_is_told,
    the_bounds_that_are_told_are_those_that_hold,
);

on_embedded!(
    everything_has_an_example_that_is_right,
    the_command_prints_it,
    the_page_needs_nothing_from_elsewhere,
);
