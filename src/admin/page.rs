//! What all pages have in common.

use maud::{DOCTYPE, Markup, html};

/// Which of the places that the menu names a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MenuItem {
    /// What stands where.
    Overview,
    /// Jobs that are not dead.
    Jobs,
    /// Dead letters.
    Dead,
    /// What the menu does not name.
    Elsewhere,
}

/// A whole page; what is marked `data-live` in its body is kept up to date by the script.
pub fn page(title: &str, item: MenuItem, body: &Markup) -> Markup {
    let entries = [
        (MenuItem::Overview, "/", "Overview"),
        (MenuItem::Jobs, "/jobs?state=waiting", "Jobs"),
        (MenuItem::Dead, "/jobs?state=dead", "Dead letters"),
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
                a.skip href="#main" { "To the content" }
                header {
                    div.bar {
                        a.brand href="/" { img src="/assets/icon.svg" alt="" width="24" height="24"; "Confab" }
                        nav aria-label="Pages" {
                            @for (entry, path, name) in entries {
                                a href=(path) aria-current=[(entry == item).then_some("page")] { (name) }
                            }
                        }
                        button.live type="button" data-toggle hidden title="Stop or go on bringing this page up to date" { "Live" }
                    }
                }
                main id="main" { (body) }
            }
        }
    }
}

/// A page that says why there is nothing else.
pub fn error_response(title: &str, why: &str) -> Markup {
    let body = html! {
        h1 { (title) }
        p.note.bad role="alert" { (why) }
        p { a href="/" { "To the overview" } }
    };
    page(title, MenuItem::Elsewhere, &body)
}
