//! The page on which the API is tried out, in a real browser.

use std::fmt::Write;

use crate::support::{Browser, Site, in_a_browser};

/// Opens an operation that creates something, fills in its path, sends what the description gives as an example, and waits
/// for a 201; the answer's body.
async fn execute(browser: &mut Browser, path: &str, parameters: &[(&str, &str)]) -> String {
    let block = format!(
        "[...document.querySelectorAll('.opblock-post')].find(block => block.querySelector('[data-path=\"{path}\"]'))"
    );
    let there = |what: &str| format!("!!{block}?.querySelector('{what}')");
    browser.until(&there(".opblock-summary-control")).await;
    let open = format!("{block}.querySelector('.opblock-summary-control').click()");
    browser.eval(&open).await;
    browser.until(&there("button.execute")).await;
    let mut fill = String::new();
    for (name, value) in parameters {
        // As typing does it: the page keeps the value to itself.
        write!(
            fill,
            "{{ const input = {block}.querySelector('[data-param-name=\"{name}\"] input'); \
             Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, '{value}'); \
             input.dispatchEvent(new Event('input', {{bubbles: true}})); \
             input.dispatchEvent(new Event('change', {{bubbles: true}})); }}"
        )
        .expect("a string takes all");
    }
    browser.eval(&fill).await;
    let send = format!("{block}.querySelector('button.execute').click()");
    browser.eval(&send).await;
    let answered = format!(
        "{block}.querySelector('.live-responses-table .response .response-col_status')?.innerText.trim().startsWith('201')"
    );
    browser.until(&answered).await;
    let body = format!(
        "{block}.querySelector('.live-responses-table .response .response-col_description pre').innerText"
    );
    let body = browser.eval(&body).await;
    body.as_str().expect("a text").to_owned()
}

async fn the_first_message_is_sent_from_the_page(site: &Site) {
    let api = site.start().await;
    let mut browser = Browser::start().await;
    let page = format!("http://127.0.0.1:{}/docs", api.port);
    browser.open(page).await;
    let created = execute(&mut browser, "/application", &[]).await;
    let created: serde_json::Value = serde_json::from_str(&created).expect("JSON");
    let app = created["Application"].as_str().expect("an id").to_owned();
    execute(&mut browser, "/application/{app}/chat", &[("app", &app)]).await;
    let message = execute(
        &mut browser,
        "/application/{app}/chat/{chat}/message",
        &[("app", &app), ("chat", "1")],
    )
    .await;
    let message: serde_json::Value = serde_json::from_str(&message).expect("JSON");
    let read = api
        .get(format!("/application/{app}/chat/1/message/1"))
        .await;
    assert_eq!(read.json()["Message"], message["Message"]);
}

in_a_browser!(the_first_message_is_sent_from_the_page);
