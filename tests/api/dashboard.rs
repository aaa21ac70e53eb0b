//! The dashboard, in a real browser.

use serde_json::{Map, Value, json};

use crate::{
    jobs::{ONE_TRY, idle, is_paused},
    support::{
        BackendKind, Browser, Fixture, Process, apply, concurrently, eventually_eq,
        on_each_backend_in_browser,
    },
};

const CLIENTS: usize = 16;
const MESSAGES: usize = 4_000;

const KINDS: &str = "Object.fromEntries([...document.querySelectorAll('tr[data-kind]')].map(row => \
     [row.dataset.kind, Object.fromEntries([...row.querySelectorAll('[data-state]')].map(cell => \
     [cell.dataset.state, Number(cell.textContent.replaceAll(',', ''))]))]))";

/// The URL of a page of the admin listener.
fn page(api: &Process, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", api.admin().port)
}

/// The number of jobs by kind and state according to the command, in the order of the dashboard.
async fn printed(fixture: &Fixture) -> Value {
    let stats = fixture.jobs(&["stats"]).await;
    let kinds = stats["kinds"].as_array().expect("a list").iter();
    let kinds: Map<String, Value> = kinds
        .map(|kind| {
            let states = ["waiting", "leased", "delayed", "dead"];
            let states = states.map(|state| (state.to_owned(), kind[state].clone()));
            let name = kind["kind"].as_str().expect("a name").to_owned();
            (name, Value::Object(states.into_iter().collect()))
        })
        .collect();
    Value::Object(kinds)
}

/// The name of a test's screenshots.
fn screenshot_name(fixture: &Fixture, name: &str) -> String {
    match fixture.backend_kind() {
        BackendKind::Embedded => format!("{name}-embedded"),
        BackendKind::Services => format!("{name}-services"),
    }
}

#[apply(on_each_backend_in_browser!)]
async fn overview_shows_what_the_command_prints(fixture: &Fixture) {
    let api = idle(fixture).await;
    let chat = api.new_app_and_chat().await;
    for number in 1..=3 {
        api.create_message(&chat, "hello").await;
        api.update_message(&chat, number, "good bye").await;
    }
    let mut browser = Browser::start().await;
    browser.open(page(&api, "/")).await;
    let expected = printed(fixture).await;
    assert_eq!(expected["create_message"]["waiting"], 3);
    assert_eq!(browser.eval(KINDS).await, expected);

    // The same page, refreshed automatically.
    browser.eval("window.isKept = true").await;
    api.create_message(&chat, "hello again").await;
    browser.until("document.querySelector('[data-kind=create_message] [data-state=waiting]').innerText.trim() === '4'").await;
    assert_eq!(browser.eval("window.isKept").await, true);
    assert_eq!(browser.eval(KINDS).await, printed(fixture).await);

    // With the keyboard only.
    let focus = "document.activeElement.getAttribute('aria-label')";
    for _ in 0..100 {
        if browser.eval(focus).await == "pause create_message" {
            break;
        }
        browser.press("Tab").await;
    }
    assert_eq!(browser.eval(focus).await, "pause create_message");
    browser.press("Enter").await;
    browser
        .until("document.body.innerText.includes('create_message is paused.')")
        .await;
    assert!(is_paused(fixture).await);
    browser
        .screenshots(&screenshot_name(fixture, "paused"))
        .await;
    browser.follow("[aria-label='resume create_message']").await;
    assert!(!is_paused(fixture).await);

    browser
        .open(page(
            &api,
            "/jobs?state=waiting&kind=create_message&limit=2",
        ))
        .await;
    assert_eq!(
        browser
            .eval("document.querySelectorAll('tbody tr').length")
            .await,
        2
    );
    browser.follow("a[rel=next]").await;
    assert_eq!(
        browser
            .eval("document.querySelectorAll('tbody tr').length")
            .await,
        2
    );
    browser
        .screenshots(&screenshot_name(fixture, "waiting"))
        .await;
}

#[apply(on_each_backend_in_browser!)]
async fn failing_job_among_thousands_is_listed_opened_and_retried(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    fixture.reject_unstorable_messages().await;
    let mut browser = Browser::start().await;
    browser.open(page(&api, "/")).await;
    concurrently(CLIENTS, |client| {
        let (api, chat) = (api.client(), chat.clone());
        async move {
            for n in 0..MESSAGES / CLIENTS {
                let is_unstorable = client == 7 && n == MESSAGES / CLIENTS / 2;
                let text = if is_unstorable {
                    "unstorable"
                } else {
                    "How are you today?"
                };
                api.create_message(&chat, text).await;
            }
        }
    })
    .await;
    // The page is not reloaded.
    for (state, jobs) in [("dead", 1), ("waiting", 0), ("leased", 0)] {
        browser
            .until(&format!(
                "document.querySelector('[data-total={state}]').innerText === '{jobs}'"
            ))
            .await;
    }
    eventually_eq("all others are counted", json!(MESSAGES - 1), async || {
        api.messages_count(&chat).await
    })
    .await;
    assert_eq!(browser.eval(KINDS).await, printed(fixture).await);
    browser
        .screenshots(&screenshot_name(fixture, "drained"))
        .await;

    let ids = fixture.dead(1).await;
    browser.follow(".tile[href='/jobs?state=dead']").await;
    browser.screenshots(&screenshot_name(fixture, "dead")).await;
    browser.follow("tbody a").await;
    let seen = browser.text().await;
    let job = fixture.jobs(&["show", &ids[0]]).await;
    for expected in [
        &ids[0],
        job["error"].as_str().expect("an error"),
        "create_message",
        "\"unstorable\"",
    ] {
        assert!(seen.contains(expected), "no {expected} in {seen}");
    }
    browser.screenshots(&screenshot_name(fixture, "job")).await;

    fixture.take_everything().await;
    browser.follow("form[action$='/retry'] button").await;
    browser
        .until("document.body.innerText.includes('No dead jobs.')")
        .await;
    assert!(browser.text().await.contains("The job will be retried."));
    eventually_eq(
        "it is stored",
        vec![json!(0), json!(MESSAGES)],
        async || {
            vec![
                printed(fixture).await["create_message"]["dead"].clone(),
                api.messages_count(&chat).await,
            ]
        },
    )
    .await;
    browser.open(page(&api, &format!("/jobs/{}", ids[0]))).await;
    assert!(browser.text().await.contains("there is no job"));
}

#[apply(on_each_backend_in_browser!)]
async fn dashboard_works_without_javascript(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    fixture.reject_unstorable_messages().await;
    for _ in 0..3 {
        api.create_message(&chat, "unstorable").await;
    }
    let ids = fixture.dead(3).await;
    let mut browser = Browser::start().await;
    browser
        .send(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": true}),
        )
        .await;
    browser.open(page(&api, "/")).await;
    assert_eq!(browser.eval(KINDS).await, printed(fixture).await);
    browser.follow("[aria-label='pause create_message']").await;
    assert!(is_paused(fixture).await);
    browser.follow("[aria-label='resume create_message']").await;
    assert!(!is_paused(fixture).await);

    browser.follow("nav a[href='/jobs?state=dead']").await;
    browser
        .follow(&format!("tbody a[href='/jobs/{}']", ids[1]))
        .await;
    browser.follow("a[href$='/kill']").await;
    browser.screenshots(&screenshot_name(fixture, "kill")).await;
    // Only submitting the form discards the job.
    assert_eq!(fixture.dead(3).await, ids);
    browser.follow("form[action$='/kill'] button").await;
    assert_eq!(fixture.dead(2).await, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(
        browser
            .eval("document.querySelectorAll('tbody tr').length")
            .await,
        2
    );

    fixture.take_everything().await;
    browser.follow("a[href='/jobs/retry']").await;
    browser.follow("form[action='/jobs/retry'] button").await;
    assert!(
        browser
            .text()
            .await
            .contains("2 dead letters will be retried.")
    );
    eventually_eq("both are found", vec![1, 3], async || {
        api.search_numbers(&chat, "unstorable").await
    })
    .await;
}

/// Would open a dialog if it was executed.
const HOSTILE: &str = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>";

#[apply(on_each_backend_in_browser!)]
async fn hostile_texts_and_cross_site_requests_have_no_effect(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    fixture.execute(match fixture.backend_kind() {
        BackendKind::Services => {
            "ALTER TABLE messages ADD CONSTRAINT `</pre><img src=x onerror=alert(3)>` CHECK (text NOT LIKE '%alert%')"
        }
        BackendKind::Embedded => {
            "CREATE TRIGGER poison BEFORE INSERT ON messages WHEN NEW.text LIKE '%alert%' \
             BEGIN SELECT RAISE(ABORT, 'string or blob too big: </pre><img src=x onerror=alert(3)>'); END"
        }
    })
    .await;
    fixture.jobs(&["pause", "create_application"]).await;
    let named = api
        .post("/application", &json!({"username": HOSTILE}))
        .await;
    named.expect_status(201);
    api.create_message(&chat, HOSTILE).await;
    let dead = fixture.dead(1).await;
    let waiting = fixture.jobs(&["list", "--state", "waiting"]).await;
    let waiting = waiting["jobs"][0]["id"].as_str().expect("a job").to_owned();

    let mut browser = Browser::start().await;
    for (path, expected) in [
        (format!("/jobs/{}", dead[0]), "onerror=alert(2)"),
        (format!("/jobs/{}", dead[0]), "onerror=alert(3)"),
        (format!("/jobs/{waiting}"), "onerror=alert(2)"),
        ("/jobs".into(), "onerror=alert(3)"),
        (
            "/jobs?state=%3Cscript%3Ealert(4)%3C/script%3E".into(),
            "state must be",
        ),
        (
            "/?done=%3Cscript%3Ealert(4)%3C/script%3E&kind=%22onload=alert(5)".into(),
            "Overview",
        ),
    ] {
        browser.open(page(&api, &path)).await;
        let seen = browser.text().await;
        assert!(seen.contains(expected), "{path} has no {expected}: {seen}");
        let foreign = browser
            .eval("document.querySelectorAll('main script, main img, [onerror]').length")
            .await;
        assert_eq!(foreign, 0, "{path}");
    }
    // A script injected into a page is not executed.
    browser
        .eval("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(6)>')")
        .await;
    browser
        .eval("new Promise(done => setTimeout(done, 500))")
        .await;
    assert_eq!(browser.dialogs, [""; 0]);

    // Another port of the same machine is another origin.
    browser
        .open(format!("http://127.0.0.1:{}/up", api.port))
        .await;
    let pause = page(&api, "/kinds/create_message/pause");
    let send = format!(
        "document.body.innerHTML = '<form method=post action={pause}></form>'; \
         document.querySelector('form').submit()"
    );
    browser.eval(&send).await;
    browser
        .until("document.body.innerText.includes('Rejected: sent by another site')")
        .await;
    assert!(!is_paused(fixture).await);
}
