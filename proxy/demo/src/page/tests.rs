use super::*;
use crate::record::{Event, Gauge, Horizon, Interval, Look, Part};

/// What others may say: servers, errors of drivers, names in a configuration.
const NASTY: &str =
    "</script><script>alert('1')</script> & \"<img src=x onerror=alert(2)>\" \u{2028} {{data}}";

fn seen() -> Seen {
    Seen {
        took_ms: 2000,
        step_ms: 100,
        endpoints: vec!["a".to_owned(), NASTY.to_owned()],
        horizons: vec![Horizon { steps: 5, threshold: 0.5 }],
        parts: vec![Part { title: NASTY.to_owned(), from_ms: 0, until_ms: Some(2000) }],
        events: vec![Event { at_ms: 1500, by: By::Demo, words: NASTY.to_owned() }],
        looks: vec![Look {
            at_ms: 100,
            state: "HEALTHY".to_owned(),
            epoch: 7,
            primary: Some("a".to_owned()),
            ready: true,
            tier: Some("valid".to_owned()),
            durability: "synchronous".to_owned(),
            risk: Some([0.1, 0.2, 0.3]),
            rule: Some([0.1, 0.2, 0.3]),
            model: None,
            lag: vec![None, Some(12)],
        }],
        intervals: vec![Interval { at_ms: 100, who: "clients", done: 3, in_doubt: 1, ..Interval::default() }],
        gauges: vec![Gauge { at_ms: 100, what: NASTY.to_owned(), used: 0.5 }],
    }
}

fn page(seen: &Seen) -> String {
    let mut report = Report::default();
    report.promise("1 healthy", NASTY, NASTY, false);
    report.figure("1 healthy", "a figure", "12 us");
    report.detail(NASTY);
    Page { seed: 42, report: &report, seen, config: NASTY }.html()
}

/// The JSON in the page, as a browser reads it.
fn data(html: &str) -> Value {
    let (_, rest) = html.split_once("id=\"data\">").expect("is there");
    let (json, _) = rest.split_once("</script>").expect("ends");
    serde_json::from_str(json).expect("is JSON")
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let html = page(&seen());
    let without = html.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http:", "https:", "//cdn", "@import", "url(http", "src=\"", "href=", "<link", "fetch("]
    {
        assert!(!without.contains(reference), "{reference}");
    }
    assert!(html.contains("default-src 'none'"), "a browser would refuse it, too");
}

#[test]
fn every_place_of_the_template_is_filled() {
    let html = page(&Seen::default());
    let (before, after) = (TEMPLATE.matches("{{").count(), html.matches("{{").count());
    // What is left is what others said.
    assert!(before > 8 && after == html.matches("{{data}}").count(), "{after}");
    for name in ["seed", "version", "took", "verdict", "promises", "style", "script", "data"] {
        assert!(TEMPLATE.contains(&format!("{{{{{name}}}}}")), "{name}");
    }
}

#[test]
fn every_series_is_in_it_and_is_drawn() {
    let data = data(&page(&seen()));
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let series: Vec<String> = keys(&data)
        .into_iter()
        .chain(
            ["looks", "intervals", "gauges", "events", "parts", "horizons"]
                .iter()
                .flat_map(|of| keys(&data[of][0])),
        )
        .filter(|name| !["ready"].contains(&name.as_str()))
        .collect();
    assert!(series.len() > 30, "{series:?}");
    for name in series {
        assert!(SCRIPT.contains(&format!(".{name}")), "{name} is not drawn");
    }
    assert_eq!(data["looks"][0]["lag"][1], 12);
    assert_eq!(data["intervals"][0]["done"], 3);
}

#[test]
fn what_others_say_stays_text() {
    let html = page(&seen());
    // Two elements of the template's own, and no third.
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("</script>").count(), 2);
    assert!(!html.contains("<img"));
    assert_eq!(data(&html)["events"][0]["words"], NASTY);
    assert!(html.contains("&lt;/script&gt;") && html.contains("&quot;") && html.contains("&#39;"));
    for unsafe_way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!SCRIPT.contains(unsafe_way), "{unsafe_way}");
    }
}

#[test]
fn the_verdict_is_the_reports() {
    let seen = seen();
    assert!(page(&seen).contains("verdict broken") && page(&seen).contains("1 promises, 1 BROKEN"));
    let mut report = Report::default();
    report.promise("1 healthy", "0 failed", "0 failed", true);
    let html = Page { seed: 1, report: &report, seen: &seen, config: "" }.html();
    assert!(html.contains("verdict kept") && html.contains("1 promises, all kept"));
}
