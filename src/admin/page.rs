//! Frame that all pages share.

use maud::{DOCTYPE, Markup, html};

/// Entry of the menu that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MenuItem {
    /// The overview.
    Overview,
    /// Jobs that are not dead.
    Jobs,
    /// Dead letters.
    Dead,
    /// Keys.
    Keys,
    /// No entry of the menu.
    Elsewhere,
}

/// A whole page; what is marked `data-live` in its body is kept up to date by the script.
pub fn page(title: &str, item: MenuItem, body: &Markup) -> Markup {
    let entries = [
        (MenuItem::Overview, "/", "Overview"),
        (MenuItem::Jobs, "/jobs?state=waiting", "Jobs"),
        (MenuItem::Dead, "/jobs?state=dead", "Dead letters"),
        (MenuItem::Keys, "/keys", "Keys"),
    ];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Confab" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/dashboard.css";
                script src="/assets/dashboard.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header {
                    div.bar {
                        a.brand href="/" { img src="/assets/icon.svg" alt="" width="24" height="24"; "Confab" }
                        nav aria-label="Pages" {
                            @for (entry, path, name) in entries {
                                a href=(path) aria-current=[(entry == item).then_some("page")] { (name) }
                            }
                        }
                        button.live type="button" data-toggle hidden title="Pause or resume automatic updates of this page" { "Live" }
                    }
                }
                main id="main" { (body) }
            }
        }
    }
}

/// Page of an error.
pub fn error_response(title: &str, why: &str) -> Markup {
    let body = html! {
        h1 { (title) }
        p.note.bad role="alert" { (why) }
        p { a href="/" { "Back to the overview" } }
    };
    page(title, MenuItem::Elsewhere, &body)
}
