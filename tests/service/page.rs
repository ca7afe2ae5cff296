//! The dashboard in a real browser. The tests save screenshots in `target/screenshots`.

use serde_json::{Value, json};

use crate::browser::{Browser, DOWN, ENTER, ESCAPE, TAB, axe};
use crate::daemon::{Daemon, LOG_HEADER, Place, SONGS, stderr};

/// The number of listeners in [`Page::lively`]. It is enough for more than two pages.
const LISTENERS: u32 = 120;

/// A daemon, and a browser that shows its dashboard.
pub(crate) struct Page {
    pub(crate) place: Place,
    daemon: Option<Daemon>,
    pub(crate) browser: Browser,
    pub(crate) address: String,
}

impl Page {
    /// Starts a daemon with the given songs. If `log` is not empty, it is the first log.
    fn of(songs: &str, log: &str) -> Option<Self> {
        Self::with(songs, log, &[])
    }

    /// Like [`Page::of`], with more arguments for the daemon.
    pub(crate) fn with(songs: &str, log: &str, more: &[&str]) -> Option<Self> {
        let browser = Browser::start()?;
        let place = Place::new(songs);
        if !log.is_empty() {
            place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{log}"));
        }
        let (daemon, address) = place.watch_with_page("127.0.0.1:0", more);
        Some(Self { place, daemon: Some(daemon), browser, address })
    }

    /// Starts a daemon with rows in every table. There are [`LISTENERS`] listeners. The `n`th listener has
    /// `n` plays. Some songs are Sad, some Happy songs have no plays, some plays are at night, and one row
    /// is bad.
    fn lively() -> Option<Self> {
        let songs: String = (1..=60).map(song).collect();
        let plays: String = (1..=LISTENERS).map(plays_of).collect();
        let page = Self::of(&songs, &format!("{plays}u1,s1,yesterday,60\n"))?;
        page.place.wait_for_rows(u64::from(LISTENERS * (LISTENERS + 1) / 2 + 1));
        Some(page)
    }

    /// Adds a file that cannot be read as a log to the folder of [`Page::lively`].
    fn refuse_a_file(&self) {
        self.place.write("data/incoming/objects.csv", "{\"listener\":\"u1\"}\n");
        self.place.wait_for_rows(u64::from(LISTENERS * (LISTENERS + 1) / 2 + 2));
    }

    /// Opens a view, and waits for its title.
    pub(crate) fn show(&self, view: &str, title: &str) {
        self.browser.open(&format!("{}/{view}", self.address));
        self.browser.wait_for_text("main h1", title);
    }

    /// Waits until the first cell of the first row has the given text.
    fn wait_for_first(&self, text: &str) {
        self.browser.wait_for_text("tbody tr:first-child td:first-child", text);
    }

    /// Checks that the browser contacted no other host, and that the console has only the expected errors.
    pub(crate) fn is_clean_but_for(&self, expected: &[&str]) {
        let asked = self.browser.requests();
        let is_ours = |address: &&String| {
            let own = [self.address.as_str(), "blob:", "data:"];
            own.iter().any(|own| address.starts_with(own))
        };
        assert!(asked.iter().any(|address| is_ours(&address)), "{asked:?}");
        let strangers: Vec<&String> = asked.iter().filter(|address| !is_ours(address)).collect();
        assert!(strangers.is_empty(), "the browser contacted other hosts: {strangers:?}");
        let is_unexpected = |line: &&String| !expected.iter().any(|expected| line.contains(expected));
        let console = self.browser.console();
        let unexpected: Vec<&String> = console.iter().filter(is_unexpected).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }

    pub(crate) fn is_clean(&self) {
        self.is_clean_but_for(&[]);
    }
}

/// A row of the catalog. Every third song is Sad. All other songs are Happy.
fn song(number: u32) -> String {
    let mood = if number.is_multiple_of(3) { "Sad" } else { "Happy" };
    format!("s{number},Song {number},Artist {},Genre {},{mood}\n", number % 7, number % 5)
}

/// The plays of a listener. Listener `n` has `n` plays. Some plays are at night.
fn plays_of(listener: u32) -> String {
    let play = |number: u32| {
        let song = 1 + (listener * 7 + number * number) % 40;
        format!(
            "u{listener},s{song},2025-03-2{} {:02}:{:02}:00,{}\n",
            number % 7,
            number % 24,
            listener % 60,
            30 + number
        )
    };
    (0..listener).map(play).collect()
}

#[test]
fn a_dashboard_without_plays_shows_what_to_do_and_updates_itself() {
    let Some(page) = Page::of(SONGS, "") else { return };
    let browser = &page.browser;
    page.show("", "Overview");
    browser.wait_for_text("main", "No plays yet: drop a CSV log into data/incoming");
    browser.shoot("empty");
    browser.value("window.isTheSame = true");
    page.place.write("data/incoming/a.csv", &format!("{LOG_HEADER}u1,s1,2025-03-20 01:00:00,100\n"));
    browser.wait_for("document.querySelector('.figures dd')?.innerText.startsWith('1')");
    page.place.append("data/incoming/a.csv", "u2,s2,2025-03-20 02:00:00,100\n");
    browser.wait_for("document.querySelector('.figures dd')?.innerText.startsWith('2')");
    // Tables also update themselves. The controls keep the choices of the user.
    browser.click("a[href='#/insights/night_owl_users']");
    browser.wait_for_text("main h1", "Night owls");
    browser.click("[data-query=search]");
    browser.enter("u");
    page.place.append("data/incoming/a.csv", "u3,s2,2025-03-20 03:00:00,100\n");
    browser.wait_for("document.querySelectorAll('tbody tr').length === 3");
    let kept = "[document.activeElement.dataset.query, document.activeElement.value, window.isTheSame]";
    assert_eq!(browser.value(kept), json!(["search", "u", true]));
    page.is_clean();
}

#[test]
fn tables_are_searched_sorted_and_paged() {
    let Some(page) = Page::lively() else { return };
    let browser = &page.browser;
    page.show("#/insights/user_favorite_genres?sort=-play_count", "Favourite genres");
    let csv = browser
        .value("fetch(document.querySelector('[download$=csv]').href).then((answer) => answer.text())");
    assert!(csv.as_str().unwrap().starts_with("user_id,genre,play_count\nu1,"), "{csv}");
    let first = |column: u32| browser.text(&format!("tbody tr:first-child td:nth-child({column})"));
    browser.wait_for_text("th[aria-sort=descending]", "Plays");
    let most: u32 = first(3).parse().unwrap();
    browser.shoot("table");

    browser.click("button[data-column=play_count]");
    browser.wait_for_text("th[aria-sort=ascending]", "Plays");
    assert!(first(3).parse::<u32>().unwrap() < most);

    page.show("#/insights/night_owl_users", "Night owls");
    let owls = browser.texts("tbody td");
    assert_eq!(owls.len(), 50);
    let turn = |title: &str| {
        let body = "return [...document.querySelectorAll('.turn')].findIndex((turn) => turn.innerText === arguments[0]) + 1;";
        let place = browser.run(body, &json!([title]));
        browser.click(&format!(".turn:nth-child({place})"));
    };
    turn("Next");
    browser.wait_for_text("[data-announce]", "51–100 of");
    let second = browser.texts("tbody td");
    assert!(second.iter().all(|owl| !owls.contains(owl)), "{second:?}");
    turn("Next");
    browser.wait_for_text("[data-announce]", "101–");
    turn("Previous");
    browser.wait_for_text("[data-announce]", "51–100 of");
    assert_eq!(browser.texts("tbody td"), second);
    turn("First");
    browser.wait_for_text("[data-announce]", "1–50 of");

    browser.click("[data-query=search]");
    browser.enter("u11");
    browser.wait_for(
        "[...document.querySelectorAll('tbody td')].every((owl) => owl.innerText.startsWith('u11'))",
    );
    assert!(browser.value("location.hash").as_str().unwrap().contains("search=u11"));
    browser.enter("missing");
    browser.wait_for_text(".blank", "Nothing found");

    page.show("#/insights/enriched_logs", "All plays");
    assert_eq!(browser.texts("tbody tr").len(), 50);
    browser.click("[data-query=search]");
    browser.enter("Artist 3");
    browser.wait_for("location.hash.includes('Artist') && !document.querySelector('[aria-busy]')");
    let artists = browser.texts("tbody td:nth-child(6)");
    assert!(!artists.is_empty() && artists.iter().all(|artist| artist == "Artist 3"), "{artists:?}");
    page.is_clean();
}

#[test]
fn listeners_songs_and_inputs_have_their_own_views() {
    let Some(page) = Page::lively() else { return };
    let browser = &page.browser;
    page.show("#/users/u120", "u120");
    let all = browser.text("main");
    for word in ["120 plays", "Night owl", "Genre 1", "Recommended happy songs", "Most played songs"] {
        assert!(all.contains(word), "{word:?} is missing in {all}");
    }
    assert_eq!(browser.texts(".songs li").len(), 3);
    browser.shoot("listener");
    browser.click(".songs a");
    browser.wait_for_text(".lead", "A song by Artist");
    assert!(browser.text("main").contains("Happy"));

    page.show("#/songs/s1", "Song 1");
    browser.click(".figure a");
    browser.wait_for_text(".chip", "only song s1");
    let songs = browser.texts("tbody td:first-child");
    assert!(!songs.is_empty() && songs.iter().all(|song| song == "s1"), "{songs:?}");

    page.show("#/inputs", "Inputs");
    browser.wait_for_text(".reasons", "the time cannot be read");
    assert!(browser.text(".card.wide").contains("a.csv"));
    browser.click(".reasons summary");
    browser.wait_for_text(".reasons figure", "u1,s1,yesterday,60");
    browser.shoot("inputs");
    browser.click("main a[href='#/rejects']");
    browser.wait_for_text("main h1", "Rejected rows");
    page.wait_for_first("a.csv");

    page.refuse_a_file();
    page.show("#/inputs", "Inputs");
    browser.wait_for_text(".notice", "1 file in the folder cannot be read as a log");
    browser.wait_for_text("[aria-label='Files that cannot be read as logs']", "input.format = \"jsonl\"");
    browser.shoot("refused");

    page.show("#/users/u120", "u120");
    browser.open(&format!("{}/#/users/missing", page.address));
    browser.wait_for_text("main h2", "Not found");
    browser.open(&format!("{}/#/nowhere/at/all", page.address));
    browser.wait_for_text("main h2", "No such view");
    // The console also shows every response with an error status.
    page.is_clean_but_for(&["/users/missing"]);
}

#[test]
fn the_dashboard_works_with_only_the_keyboard() {
    let Some(page) = Page::lively() else { return };
    let browser = &page.browser;
    page.show("", "Overview");
    let focus = || browser.value("document.activeElement.outerHTML.slice(0, 80)");
    browser.press([TAB]);
    assert!(focus().as_str().unwrap().contains("skip"), "{}", focus());
    browser.press([ENTER]);
    browser.wait_for("document.activeElement.id === 'main'");

    browser.enter("/song 12");
    browser.wait_for_text("#suggestions", "Song 12");
    browser.shoot("search");
    browser.press([DOWN]);
    browser.wait_for("document.getElementById('search').getAttribute('aria-activedescendant')");
    browser.press([ESCAPE]);
    browser.wait_for("document.getElementById('suggestions').hidden");
    browser.press([DOWN, ENTER]);
    browser.wait_for_text("main h1", "Song 12");
    browser.wait_for("document.activeElement.tagName === 'H1'");
    // The search starts when the user stops typing.
    browser.enter("/u77");
    browser.press([ENTER]);
    browser.wait_for_text("main h1", "u77");

    page.show("#/insights/genre_loyalty_scores", "Loyal listeners");
    browser.wait_for("document.querySelector('th button')");
    for _ in 0..60 {
        browser.press([TAB]);
        if browser.value("document.activeElement.dataset.column === 'total_plays'") == Value::Bool(true) {
            break;
        }
    }
    browser.press([ENTER]);
    browser.wait_for_text("th[aria-sort=descending]", "All plays");
    assert_eq!(browser.value("document.activeElement.dataset.column"), "total_plays");
    let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is not visible");
    // A screen reader must announce only changes.
    browser.wait_for_text("#announcement", "rows");
    page.is_clean();
}

#[test]
fn the_theme_follows_the_system_until_the_user_chooses_one() {
    let Some(page) = Page::lively() else { return };
    let browser = &page.browser;
    let is_dark = || {
        let colour = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128");
        colour.as_bool().unwrap()
    };
    browser.prefer("light");
    page.show("", "Overview");
    assert!(!is_dark());
    browser.prefer("dark");
    browser.wait_for("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128");
    browser.shoot("dark");
    assert_eq!(browser.text("#theme"), "Light");
    browser.click("#theme");
    assert!(!is_dark());
    browser.run("location.reload();", &json!([]));
    browser.wait_for_text("main h1", "Overview");
    assert!(!is_dark(), "the dashboard lost the chosen theme");
    browser.prefer("light");
    browser.click("#theme");
    assert!(is_dark());
    page.is_clean();
}

/// All views with their titles.
const VIEWS: [(&str, &str); 12] = [
    ("#/", "Overview"),
    ("#/insights/top_songs_this_week", "Top songs of the week"),
    ("#/insights/user_favorite_genres", "Favourite genres"),
    ("#/insights/genre_loyalty_scores", "Loyal listeners"),
    ("#/insights/happy_recommendations", "Happy songs"),
    ("#/insights/night_owl_users", "Night owls"),
    ("#/insights/avg_listen_time_per_song", "Average listening time"),
    ("#/insights/enriched_logs", "All plays"),
    ("#/users/u7", "u7"),
    ("#/songs/s1", "Song 1"),
    ("#/inputs", "Inputs"),
    ("#/rejects", "Rejected rows"),
];

#[test]
fn the_dashboard_fits_on_a_phone() {
    let Some(page) = Page::lively() else { return };
    let browser = &page.browser;
    browser.resize(360, 740);
    for (view, title) in VIEWS {
        page.show(view, title);
        let width = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(width, json!([360, 360]), "{view}");
    }
    page.show("", "Overview");
    browser.shoot("telephone");
    assert_eq!(browser.value("document.getElementById('nav').checkVisibility()"), false);
    browser.click("#menu");
    browser.wait_for("document.getElementById('nav').checkVisibility()");
    let top = "document.elementFromPoint(180, document.querySelector('#nav a').getBoundingClientRect().top + 5).innerText";
    assert_eq!(browser.value(top), "Overview", "an element covers the menu");
    browser.shoot("telephone-menu");
    browser.click("#nav a[href='#/inputs']");
    browser.wait_for_text("main h1", "Inputs");
    assert_eq!(browser.value("document.getElementById('nav').checkVisibility()"), false);
    page.is_clean();
}

#[test]
fn a_lost_connection_is_shown_and_restored() {
    let Some(mut page) = Page::lively() else { return };
    page.show("", "Overview");
    page.browser.wait_for_text("#throughput", " ");
    assert_eq!(page.browser.text("#banner"), "");
    let stopped = page.daemon.take().unwrap().stop();
    assert!(stopped.status.success(), "{}", stderr(&stopped));
    page.browser.wait_for_text("#banner", "Connection lost; reconnecting");
    assert!(
        page.browser.text("main").contains("Top songs of the week"),
        "the dashboard hides the rows that it already has"
    );
    page.browser.shoot("lost");

    page.place.append("data/incoming/a.csv", "somebody_new,s1,2025-03-20 01:00:00,100\n");
    let host = page.address.trim_start_matches("http://");
    page.daemon = Some(page.place.watch_with_page(host, &[]).0);
    page.browser.wait_for("document.getElementById('banner').innerText === ''");
    let listeners = format!("{}", LISTENERS + 1);
    page.browser.wait_for_text(".figure:nth-child(2)", &listeners);
    page.is_clean_but_for(&["net::ERR_"]);
}

#[test]
fn markup_in_names_is_text_and_long_names_are_shortened() {
    let endless = "<script>alert(1)</script>".to_owned() + &"x".repeat(500);
    let hostile = endless.as_str();
    let image = "<img src=x onerror=alert(2)>";
    let songs = format!("{hostile},{hostile},{image},{image},Sad\nh,{image},{hostile},{hostile},Happy\n");
    let play = |time: u32| format!("{hostile},{hostile},2025-03-20 01:00:{time:02},100\n");
    let log: String = (0..5).map(play).chain([format!("{hostile},{image},{hostile},1\n")]).collect();
    let Some(page) = Page::of(&songs, &log) else { return };
    let browser = &page.browser;
    page.place.wait_for_rows(6);
    browser.resize(360, 740);
    let id = hostile.replace('<', "%3C").replace('>', "%3E").replace('/', "%2F");
    let user = format!("#/users/{id}");
    let song = format!("#/songs/{id}");
    for (view, title) in VIEWS {
        // The names of the listener and the song are hostile.
        let (view, title) = match view {
            "#/users/u7" => (user.as_str(), hostile),
            "#/songs/s1" => (song.as_str(), hostile),
            _ => (view, title),
        };
        page.show(view, title);
        // The names must not become elements of the page, not even hidden ones.
        browser
            .run("document.querySelectorAll('details').forEach((all) => { all.open = true; });", &json!([]));
        let made = "document.querySelectorAll('main script, main img, main [onerror], #suggestions script, #suggestions img').length";
        assert_eq!(browser.value(made), 0, "{view}");
        if view != "#/" {
            assert!(browser.text("main").contains('<'), "{view} does not show the names");
        }
        assert_eq!(browser.value("document.documentElement.scrollWidth"), 360, "{view}");
    }
    browser.enter("/<");
    browser.wait_for_text("#suggestions", hostile);
    browser.shoot("hostile");
    assert_eq!(browser.value("document.querySelectorAll('#suggestions script, #suggestions img').length"), 0);
    page.is_clean();
}

#[test]
fn the_dashboard_asks_for_the_token_only_once() {
    let Some(browser) = Browser::start() else { return };
    let place = Place::new(SONGS);
    let token = "0123456789abcdef0123456789abcdef";
    place.write("token", token);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}u1,s1,2025-03-20 01:00:00,100\n"));
    let (daemon, address) = place.watch_with_page("127.0.0.1:0", &["--http-token-file", "token"]);
    let page = Page { place, daemon: Some(daemon), browser, address };
    let browser = &page.browser;
    page.place.wait_for_rows(1);
    browser.open(&page.address);
    browser.wait_for_text("main h2", "Token required");
    browser.shoot("token");
    browser.wait_for("document.activeElement.id === 'token'");
    browser.enter("wrong");
    browser.press([ENTER]);
    browser.wait_for_text("[role=alert]", "Wrong token");
    browser.enter(token);
    browser.press([ENTER]);
    browser.wait_for_text("main h1", "Overview");
    browser.wait_for_text("#throughput", " ");
    browser.run("location.reload();", &json!([]));
    browser.wait_for_text("main h1", "Overview");
    // Downloads send the token too.
    browser.save_to(page.place.root());
    page.show("#/insights/night_owl_users", "Night owls");
    browser.click("[download$=csv]");
    page.place.wait_for("the download", || {
        (page.place.read("night_owl_users.csv") == "user_id\nu1\n").then_some(())
    });
    page.is_clean_but_for(&["401 (Unauthorized)"]);
}

/// The serious violations that axe finds. The script must be loaded.
pub(crate) fn violations(browser: &Browser) -> Value {
    browser.run(
        "return axe.run(document, { resultTypes: ['violations'], preload: false }).then(({ violations }) => violations
            .filter(({ impact }) => ['serious', 'critical'].includes(impact))
            .map(({ id, nodes }) => [id, nodes.slice(0, 3).map(({ html, failureSummary }) => [html, failureSummary])]));",
        &json!([]),
    )
}

#[test]
fn no_view_has_accessibility_violations() {
    let Some(axe) = axe() else { return };
    let Some(page) = Page::lively() else { return };
    let browser = &page.browser;
    browser.open(&page.address);
    browser.run(&axe, &json!([]));
    page.refuse_a_file();
    for (view, title) in VIEWS {
        page.show(view, title);
        browser
            .run("document.querySelectorAll('details').forEach((all) => { all.open = true; });", &json!([]));
        for colours in ["light", "dark"] {
            browser.prefer(colours);
            let found = violations(browser);
            assert_eq!(found, json!([]), "{view}, {colours}");
        }
    }
    page.is_clean();
}
