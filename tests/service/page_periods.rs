//! The choice of a period on the dashboard, in a real browser.

use serde_json::json;

use crate::browser::{Browser, axe};
use crate::page::{Page, violations};

const SONGS: &str = "s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\ns3,Three,C,Jazz,Happy\n";
const KEPT: [&str; 6] =
    ["--set", "periods.month=all", "--set", "periods.year=all", "--set", "periods.week=3"];

/// Plays of January and March 2025. There is no play in February.
fn plays() -> String {
    let play = |(n, (song, month)): (usize, (&str, &str))| {
        format!("u{},{song},{month}-10 0{}:00:00,60\n", n % 3, n % 10)
    };
    let january = [("s1", "2025-01"); 4].into_iter().chain([("s2", "2025-01"); 3]);
    let december = [("s2", "2024-12"); 2];
    let march = [("s3", "2025-03"); 5].into_iter().chain([("s1", "2025-03"); 1]);
    december.into_iter().chain(january).chain(march).enumerate().map(play).collect()
}

/// A dashboard with periods.
fn page() -> Option<Page> {
    let page = Page::with(SONGS, &plays(), &KEPT)?;
    page.place.wait_for_rows(15);
    Some(page)
}

impl Page {
    /// Waits until the first figure has the given value. It is the number of plays.
    fn wait_for_plays(&self, plays: &str) {
        wait_for_plays(&self.browser, plays);
    }

    fn wait_for_hash(&self, part: &str) {
        self.browser.wait_for(&format!("location.hash.includes({part:?})"));
    }
}

fn wait_for_plays(browser: &Browser, plays: &str) {
    browser.wait_for(&format!("document.querySelector('.figures dd .whole')?.innerText === {plays:?}"));
}

#[test]
fn a_period_is_chosen_by_keyboard_and_its_address_is_shared() {
    let Some(page) = page() else { return };
    let browser = &page.browser;
    page.show("", "Overview");
    page.wait_for_plays("15");
    browser.wait_for("document.querySelector('[data-period]')");
    let groups =
        browser.value("[...document.querySelectorAll('[data-period] optgroup')].map(({ label }) => label)");
    assert_eq!(groups, json!(["Latest", "Years", "Months", "Weeks"]));
    browser.run("document.querySelector('[data-period]').focus();", &json!([]));
    browser.enter("March");
    page.wait_for_hash("period=2025-03");
    page.wait_for_plays("6");
    browser.wait_for_text(".extent", "still open");
    browser.wait_for("document.activeElement.matches('[data-period]')");
    browser.wait_for("document.title.startsWith('Overview, March 2025')");
    browser.shoot("period");

    // The other views show the same period.
    browser.click("#nav a[href*='avg_listen_time_per_song']");
    browser.wait_for_text("main h1", "Average listening time");
    browser.wait_for("document.querySelectorAll('tbody tr').length === 2");
    page.wait_for_hash("period=2025-03");
    let csv = browser
        .value("fetch(document.querySelector('[download$=csv]').href).then((answer) => answer.text())");
    let file = page.place.read("output/periods/month/2025-03/avg_listen_time_per_song/part-00000.csv");
    assert_eq!(csv, file);
    browser.click("tbody tr:first-child a");
    browser.wait_for_text("main h1", "One");
    page.wait_for_plays("1");

    // Another reader opens the address.
    let shared = browser.value("location.href");
    let Some(other) = Browser::start() else { return };
    other.open(shared.as_str().unwrap());
    wait_for_plays(&other, "1");
    other.wait_for("document.querySelector('[data-period]').value === '2025-03'");
    other.run("location.reload();", &json!([]));
    wait_for_plays(&other, "1");

    browser.run("document.querySelector('[data-period]').focus();", &json!([]));
    browser.enter("All");
    page.wait_for_plays("5");
    assert_eq!(browser.value("location.hash"), "#/songs/s1");
    page.is_clean();
}

#[test]
fn a_reader_steps_through_periods_and_back() {
    let Some(page) = page() else { return };
    let browser = &page.browser;
    page.show("#/?period=2025-03", "Overview");
    page.wait_for_plays("6");
    let [previous, next] = [".period .turn:first-child", ".period select + .turn"];
    assert_eq!(browser.value(&format!("document.querySelector({next:?}).ariaDisabled")), "true");
    // There is no play in February, so January is the previous period.
    browser.click(previous);
    page.wait_for_hash("period=2025-01");
    page.wait_for_plays("7");
    assert!(!browser.text(".extent").contains("open"), "{}", browser.text(".extent"));
    let moves = || browser.texts("[data-move]");
    // In December, there were only plays of s2.
    browser.wait_for("document.querySelectorAll('[data-move]').length === 2");
    assert_eq!(moves(), ["new", "down 1"]);
    browser.run("history.back();", &json!([]));
    page.wait_for_plays("6");
    assert!(moves().is_empty(), "there is no period to compare with");
    browser.run("history.forward();", &json!([]));
    page.wait_for_plays("7");
    browser.click("#nav a[href*='top_songs_this_week']");
    browser.wait_for_text("main h1", "Top songs");
    browser.wait_for_text("th:last-child", "Compared with December 2024");
    assert_eq!(moves(), ["new", "down 1"]);
    browser.shoot("period-table");

    // The bars include the month without plays.
    page.show("#/?period=2025-01", "Overview");
    browser.wait_for("document.querySelectorAll('.timeline li').length === 4");
    let bars =
        browser.value("[...document.querySelectorAll('.timeline [aria-label]')].map((bar) => bar.ariaLabel)");
    let expected = [
        "December 2024: 2 plays",
        "January 2025: 7 plays",
        "February 2025: 0 plays",
        "March 2025: 6 plays, still open",
    ];
    assert_eq!(bars, json!(expected));
    browser.click(".timeline li:first-child a");
    page.wait_for_hash("period=2024-12");
    page.wait_for_plays("2");
    browser.run("[...document.querySelectorAll('.lengths button')].at(-1).click();", &json!([]));
    page.wait_for_hash("by=year");
    browser.wait_for("document.querySelectorAll('.timeline li').length === 2");
    browser.click(".timeline li:last-child a");
    page.wait_for_plays("13");

    // A period that is not published is an error, and the choice stays.
    browser.open(&format!("{}/#/?period=2025-02", page.address));
    browser.wait_for_text(".blank", "2025-02 is not published: it has no play");
    browser.wait_for("document.querySelector('[data-period]').value === '2025-02'");
    page.is_clean_but_for(&["period=2025-02"]);
}

#[test]
fn a_late_play_changes_an_old_month_before_ones_eyes() {
    let Some(page) = page() else { return };
    let browser = &page.browser;
    page.show("#/?period=2025-01", "Overview");
    page.wait_for_plays("7");
    browser.value("window.isTheSame = true");
    page.place.append("data/incoming/a.csv", "u9,s3,2025-01-31 10:00:00,60\n");
    page.wait_for_plays("8");
    browser
        .wait_for("document.querySelector('.timeline [data-chosen]').ariaLabel === 'January 2025: 8 plays'");
    assert_eq!(browser.value("window.isTheSame"), true);
    page.show("#/users/u9?period=2025-01", "u9");
    page.wait_for_plays("1");
    page.place.append("data/incoming/a.csv", "u9,s2,2025-01-31 11:00:00,60\n");
    page.wait_for_plays("2");
    browser.open(&format!("{}/#/users/u9?period=2025-03", page.address));
    browser.wait_for_text(".blank", "no play by a listener with this id in 2025-03");
    page.is_clean_but_for(&["period=2025-03"]);
}

#[test]
fn without_periods_there_is_no_choice() {
    let Some(page) = Page::with(SONGS, &plays(), &[]) else { return };
    page.place.wait_for_rows(15);
    page.show("", "Overview");
    page.wait_for_plays("15");
    assert_eq!(page.browser.value("document.querySelector('[data-period], .timeline')"), json!(null));
    page.is_clean();
}

#[test]
fn views_of_a_period_are_accessible_and_fit_on_a_phone() {
    let Some(page) = page() else { return };
    let browser = &page.browser;
    let axe = axe();
    browser.open(&page.address);
    if let Some(axe) = &axe {
        browser.run(axe, &json!([]));
    }
    for (view, title) in [
        ("#/?period=2025-01", "Overview"),
        ("#/?period=2025&by=week", "Overview"),
        ("#/insights/top_songs_this_week?period=2025-01", "Top songs"),
        ("#/insights/genre_loyalty_scores?period=2025", "Loyal listeners"),
        ("#/users/u1?period=2025-03", "u1"),
        ("#/songs/s1?period=2025-03", "One"),
    ] {
        for width in [1280, 360] {
            browser.resize(width, 900);
            page.show(view, title);
            browser.wait_for("document.querySelector('.extent') && !document.querySelector('[aria-busy]')");
            let overflow =
                browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(overflow, 0, "{view}, {width}");
            browser.run(
                "document.querySelectorAll('details').forEach((all) => { all.open = true; });",
                &json!([]),
            );
            for colours in ["light", "dark"].into_iter().filter(|_| axe.is_some()) {
                browser.prefer(colours);
                assert_eq!(violations(browser), json!([]), "{view}, {colours}, {width}");
            }
        }
    }
    page.show("#/?period=2025-01", "Overview");
    browser.shoot("period-telephone");
    page.is_clean();
}
