//! The dashboard in a real browser.

use serde_json::{Map, Value, json};

use crate::{
    jobs::{ONE_TRY, idle},
    support::{Backing, Browser, Process, Site, in_a_browser, settles, together},
};

const CLIENTS: usize = 16;
const MESSAGES: usize = 20_000;

const KINDS: &str = "Object.fromEntries([...document.querySelectorAll('tr[data-kind]')].map(row => \
     [row.dataset.kind, Object.fromEntries([...row.querySelectorAll('[data-state]')].map(cell => \
     [cell.dataset.state, Number(cell.textContent.replaceAll(',', ''))]))]))";

/// A page of the admin listener.
fn page(api: &Process, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", api.admin().port)
}

/// How many jobs of each kind are where, as the command says, in the order of the dashboard.
async fn printed(site: &Site) -> Value {
    let stats = site.jobs(&["stats"]).await;
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

/// Whether a kind is paused, as the command says.
async fn is_paused(site: &Site) -> bool {
    site.jobs(&["stats"]).await["kinds"][2]["paused"] == true
}

/// The name of a test's pictures.
fn picture(site: &Site, name: &str) -> String {
    match site.backing() {
        Backing::Embedded => format!("{name}-embedded"),
        Backing::Services => format!("{name}-services"),
    }
}

async fn the_overview_says_what_the_command_says(site: &Site) {
    let api = idle(site).await;
    let chat = api.new_app_and_chat().await;
    for number in 1..=3 {
        api.say(&chat, "hello").await;
        api.change(&chat, number, "good bye").await;
    }
    let mut browser = Browser::start().await;
    browser.open(page(&api, "/")).await;
    let told = printed(site).await;
    assert_eq!(told["create_message"]["waiting"], 3);
    assert_eq!(browser.eval(KINDS).await, told);

    // The same page, kept up to date.
    browser.eval("window.isKept = true").await;
    api.say(&chat, "hello again").await;
    browser.until("document.querySelector('[data-kind=create_message] [data-state=waiting]').innerText.trim() === '4'").await;
    assert_eq!(browser.eval("window.isKept").await, true);
    assert_eq!(browser.eval(KINDS).await, printed(site).await);

    // By keyboard alone.
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
    assert!(is_paused(site).await);
    browser.pictures(&picture(site, "paused")).await;
    browser.follow("[aria-label='resume create_message']").await;
    assert!(!is_paused(site).await);

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
    browser.pictures(&picture(site, "waiting")).await;
}

async fn a_poisoned_job_among_twenty_thousand_is_seen_opened_retried_and_gone(site: &Site) {
    let api = site.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    site.refuse_what_is_spoilt().await;
    let mut browser = Browser::start().await;
    browser.open(page(&api, "/")).await;
    together(CLIENTS, |client| {
        let (api, chat) = (api.client(), chat.clone());
        async move {
            for n in 0..MESSAGES / CLIENTS {
                let is_spoilt = client == 7 && n == MESSAGES / CLIENTS / 2;
                let text = if is_spoilt {
                    "spoilt"
                } else {
                    "How are you today?"
                };
                api.say(&chat, text).await;
            }
        }
    })
    .await;
    // Nobody reloads the page.
    for (state, jobs) in [("dead", 1), ("waiting", 0), ("leased", 0)] {
        browser
            .until(&format!(
                "document.querySelector('[data-total={state}]').innerText === '{jobs}'"
            ))
            .await;
    }
    settles("all others are counted", json!(MESSAGES - 1), async || {
        api.messages_count(&chat).await
    })
    .await;
    assert_eq!(browser.eval(KINDS).await, printed(site).await);
    browser.pictures(&picture(site, "drained")).await;

    let ids = site.dead(1).await;
    browser.follow(".tile[href='/jobs?state=dead']").await;
    browser.pictures(&picture(site, "dead")).await;
    browser.follow("tbody a").await;
    let seen = browser.text().await;
    let job = site.jobs(&["show", &ids[0]]).await;
    for told in [
        &ids[0],
        job["error"].as_str().expect("an error"),
        "create_message",
        "\"spoilt\"",
    ] {
        assert!(seen.contains(told), "no {told} in {seen}");
    }
    browser.pictures(&picture(site, "job")).await;

    site.take_everything().await;
    browser.follow("form[action$='/retry'] button").await;
    browser
        .until("document.body.innerText.includes('No dead jobs.')")
        .await;
    assert!(browser.text().await.contains("The job will be retried."));
    settles(
        "it is stored",
        vec![json!(0), json!(MESSAGES)],
        async || {
            vec![
                printed(site).await["create_message"]["dead"].clone(),
                api.messages_count(&chat).await,
            ]
        },
    )
    .await;
    browser.open(page(&api, &format!("/jobs/{}", ids[0]))).await;
    assert!(browser.text().await.contains("there is no job"));
}

async fn without_a_script_it_works_all_the_same(site: &Site) {
    let api = site.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    site.refuse_what_is_spoilt().await;
    for _ in 0..3 {
        api.say(&chat, "spoilt").await;
    }
    let ids = site.dead(3).await;
    let mut browser = Browser::start().await;
    browser
        .send(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": true}),
        )
        .await;
    browser.open(page(&api, "/")).await;
    assert_eq!(browser.eval(KINDS).await, printed(site).await);
    browser.follow("[aria-label='pause create_message']").await;
    assert!(is_paused(site).await);
    browser.follow("[aria-label='resume create_message']").await;
    assert!(!is_paused(site).await);

    browser.follow("nav a[href='/jobs?state=dead']").await;
    browser
        .follow(&format!("tbody a[href='/jobs/{}']", ids[1]))
        .await;
    browser.follow("a[href$='/kill']").await;
    browser.pictures(&picture(site, "kill")).await;
    // Only the form does it.
    assert_eq!(site.dead(3).await, ids);
    browser.follow("form[action$='/kill'] button").await;
    assert_eq!(site.dead(2).await, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(
        browser
            .eval("document.querySelectorAll('tbody tr').length")
            .await,
        2
    );

    site.take_everything().await;
    browser.follow("a[href='/jobs/retry']").await;
    browser.follow("form[action='/jobs/retry'] button").await;
    assert!(
        browser
            .text()
            .await
            .contains("2 dead letters will be retried.")
    );
    settles("both are found", vec![1, 3], async || {
        api.found(&chat, "spoilt").await
    })
    .await;
}

/// What would say so if it ran.
const HOSTILE: &str = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>";

async fn nothing_hostile_gets_in_by_a_text_or_from_another_site(site: &Site) {
    let api = site.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    site.execute(match site.backing() {
        Backing::Services => {
            "ALTER TABLE messages ADD CONSTRAINT `</pre><img src=x onerror=alert(3)>` CHECK (text NOT LIKE '%alert%')"
        }
        Backing::Embedded => {
            "CREATE TRIGGER poison BEFORE INSERT ON messages WHEN NEW.text LIKE '%alert%' \
             BEGIN SELECT RAISE(ABORT, 'string or blob too big: </pre><img src=x onerror=alert(3)>'); END"
        }
    })
    .await;
    site.jobs(&["pause", "create_application"]).await;
    let named = api
        .post("/application", &json!({"username": HOSTILE}))
        .await;
    named.expect_status(201);
    api.say(&chat, HOSTILE).await;
    let dead = site.dead(1).await;
    let waiting = site.jobs(&["list", "--state", "waiting"]).await;
    let waiting = waiting["jobs"][0]["id"].as_str().expect("a job").to_owned();

    let mut browser = Browser::start().await;
    for (path, told) in [
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
        assert!(seen.contains(told), "{path} has no {told}: {seen}");
        let foreign = browser
            .eval("document.querySelectorAll('main script, main img, [onerror]').length")
            .await;
        assert_eq!(foreign, 0, "{path}");
    }
    // Even what got into a page would not run.
    browser
        .eval("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(6)>')")
        .await;
    browser
        .eval("new Promise(done => setTimeout(done, 500))")
        .await;
    assert_eq!(browser.dialogs, [""; 0]);

    // The API's port of the same machine is another site.
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
    assert!(!is_paused(site).await);
}

in_a_browser!(
    the_overview_says_what_the_command_says,
    a_poisoned_job_among_twenty_thousand_is_seen_opened_retried_and_gone,
    without_a_script_it_works_all_the_same,
    nothing_hostile_gets_in_by_a_text_or_from_another_site,
);
