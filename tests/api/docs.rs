//! The API documentation page, in a real browser.

use serde_json::Value;

use crate::support::{Browser, Fixture, apply, eventually, on_each_backend_in_browser};

/// Opens a creation on the page, fills in its path and executes it with the example body. Returns the response shown on
/// the page, which must be a 201.
pub async fn execute(browser: &mut Browser, path: &str, parameters: &[(&str, &str)]) -> Value {
    let block = format!("document.querySelector('.opblock-post:has([data-path=\"{path}\"])')");
    browser.click(&format!("[data-path=\"{path}\"] > a")).await;
    let at = parameters
        .iter()
        .fold(path.to_owned(), |at, (name, value)| {
            at.replace(&format!("{{{name}}}"), value)
        });
    let script = format!(
        "(block => ({{ \
             ready: !!block?.querySelector('button.execute') && !block.querySelector('.loading-container'), \
             url: block?.querySelector('.request-url pre')?.innerText, \
             status: block?.querySelector('.live-responses-table .response .response-col_status')?.innerText, \
             body: block?.querySelector('.live-responses-table .response .response-col_description pre')?.innerText, \
         }}))({block})"
    );
    eventually(path, async || {
        let seen = browser.eval(&script).await;
        let field = |what: &str| seen[what].as_str().unwrap_or_default().trim();
        if field("url").ends_with(&at) && field("status").starts_with("201") {
            return Ok(serde_json::from_str(field("body")).expect("JSON"));
        }
        // The page may be rendered again while text is typed; then repeat.
        if seen["ready"] == true {
            for (name, value) in parameters {
                let input = format!("{block}?.querySelector('[data-param-name={name}] input')");
                browser.eval(&format!("{input}?.select()")).await;
                let text = serde_json::json!({"text": value});
                browser.send("Input.insertText", text).await;
                // Without it, the page reads the input a third of a second later.
                browser.press("Enter").await;
            }
            let button = format!("{block}?.querySelector('button.execute')?.click()");
            browser.eval(&button).await;
        }
        Err(seen)
    })
    .await
}

#[apply(on_each_backend_in_browser!)]
async fn docs_page_sends_the_key_that_was_entered(fixture: &Fixture) {
    let api = fixture.start_guarded(&[]).await;
    let key = std::fs::read_to_string(&fixture.guarded()[1].1).expect("a key");
    let mut browser = Browser::start().await;
    browser
        .open(format!("http://127.0.0.1:{}/docs", api.port))
        .await;
    browser.click("button.authorize").await;
    browser.click(".auth-container input").await;
    browser
        .send("Input.insertText", serde_json::json!({"text": key}))
        .await;
    browser.click(".auth-container button.authorize").await;
    browser.click(".auth-container button.btn-done").await;
    let made = execute(&mut browser, "/application", &[]).await;
    let app = made["Application"].as_str().expect("an id");
    api.get(format!("/application/{app}"))
        .await
        .expect_status(200);
}

#[apply(on_each_backend_in_browser!)]
async fn docs_page_sends_a_message(fixture: &Fixture) {
    let api = fixture.start().await;
    let mut browser = Browser::start().await;
    let page = format!("http://127.0.0.1:{}/docs", api.port);
    browser.open(page).await;
    let made = execute(&mut browser, "/application", &[]).await;
    let app = made["Application"].as_str().expect("an id");
    let made = execute(&mut browser, "/application/{app}/chat", &[("app", app)]).await;
    let chat = made["Chat"].to_string();
    let said = execute(
        &mut browser,
        "/application/{app}/chat/{chat}/message",
        &[("app", app), ("chat", &chat)],
    )
    .await;
    let path = format!(
        "/application/{app}/chat/{chat}/message/{}",
        said["MessageID"]
    );
    let read = api.get(path).await;
    read.expect_status(200);
    assert_eq!(read.json()["Message"], said["Message"]);
}
