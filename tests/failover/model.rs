//! The model of risk in the running sidecar: what judges is said, what breaks the contract is refused, and the rule goes on.

use std::path::{Path, PathBuf};

use foretoken_app::client::model::{RiskEntry, RiskEvent, StoreStatus};

use crate::risk::{leak, limited};
use crate::support::{LONG, Store};

fn controls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/controls").join(name)
}

fn with(keys: &str) -> String {
    format!("risk = {{ step = \"1s\", policy = \"switch\", cooldown = \"1h\", {keys} }}\n")
}

fn model_is(wanted: &str) -> impl Fn(&StoreStatus) -> bool {
    move |status| status.risk.as_ref().is_some_and(|risk| risk.model == wanted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_and_model_are_shown_apart_for_each_horizon_with_the_measured_thresholds() {
    let mut store = Store::start_with(2, |setup| setup.store = with("judges = \"both\"")).await;
    let status = store
        .wait("both to judge", |status| {
            let horizons = status.risk.iter().flat_map(|risk| &risk.horizons);
            horizons.clone().count() == 3 && horizons.clone().all(|h| h.rule.is_some() && h.model.is_some())
        })
        .await;
    let risk = status.risk.expect("it is shown");
    assert_eq!(risk.model, "embedded");
    assert_eq!(
        risk.horizons.iter().map(|h| (h.steps, h.seconds)).collect::<Vec<_>>(),
        [(5, 5), (15, 15), (30, 30)]
    );
    for horizon in &risk.horizons {
        let greater = horizon.rule.zip(horizon.model).map(|(rule, model)| rule.max(model));
        assert_eq!(horizon.risk, greater, "{horizon:?}");
        assert!(0.01 < horizon.threshold && horizon.threshold < 1.0, "{horizon:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_by_the_rule_does_not_happen_by_a_model_that_knows_nothing() {
    let zero = controls("zero.onnx");
    let store = limited(&with(&format!("judges = \"model\", model = {zero:?}"))).await;
    // Up to the limit: the rule moves the primary long before, as the tests of the rule show.
    let leaked = leak(&store, |status| status.risk.as_ref().is_some_and(|risk| risk.raised)).await;
    let status = store.sidecar.status().await.expect("answers");
    let risk = status.risk.expect("is shown");
    assert!(!risk.raised && risk.model == "file", "{risk:?}");
    assert!(risk.horizons.iter().all(|h| h.rule.is_none() && h.model == Some(0.0)), "{risk:?}");
    assert_eq!(status.epoch.0, 1, "nobody moved the primary");
    drop(leaked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_another_model_and_refuses_a_broken_one() {
    let mut store = Store::start_with(2, |setup| setup.store = with("judges = \"both\"")).await;
    store.wait("the embedded model", model_is("embedded")).await;
    let file = store.sidecar.config_file();
    let before = std::fs::read_to_string(&file).expect("it is ours");
    let rewrite = |keys: &str| {
        let text = before.replace("judges = \"both\"", keys);
        assert_ne!(text, before);
        std::fs::write(&file, text).expect("it is ours");
    };
    rewrite(&format!("model = {:?}", controls("zero.onnx")));
    store.wait("the model from the file", model_is("file")).await;
    let broken = store.dir.path().join("broken.onnx");
    std::fs::write(&broken, "no model").expect("it is ours");
    // The policy of the same file is taken, so that one sees when it has been read.
    rewrite(&format!("threshold_percent = 77, model = {broken:?}"));
    let taken = |status: &StoreStatus| {
        status
            .risk
            .as_ref()
            .is_some_and(|risk| risk.horizons.iter().all(|h| (h.threshold - 0.77).abs() < 1e-6))
    };
    let status = store.wait("the rest of the file", taken).await;
    assert_eq!(status.risk.expect("is shown").model, "file", "the old one stays");
    let log = std::fs::read_to_string(store.sidecar.log()).expect("it is there");
    assert!(log.contains("the old model stays in use") && log.contains("broken.onnx"), "{log}");
    rewrite("judges = \"rule\"");
    store
        .wait("no model", |status| status.risk.as_ref().is_some_and(|risk| risk.model.starts_with("off")))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_takes_its_time_is_left_alone_and_the_rule_and_the_traffic_go_on() {
    let slow = controls("slow.onnx");
    let mut store = Store::start_with(2, |setup| setup.store = with(&format!("model = {slow:?}"))).await;
    let off = |status: &StoreStatus| {
        status.risk.as_ref().is_some_and(|risk| risk.model.starts_with("off: an inference"))
    };
    let status = store.wait("the model to be left alone", off).await;
    let risk = status.risk.expect("is shown");
    assert!(risk.horizons.iter().all(|h| h.rule.is_some() && h.model.is_none()), "{risk:?}");
    assert!(status.ready && status.epoch.0 == 1, "{status:?}");
    let client = redis::Client::open(store.sidecar.url()).expect("a URL");
    let mut client = client.get_multiplexed_async_connection().await.expect("connects");
    let () = redis::cmd("SET").arg("k").arg(1).query_async(&mut client).await.expect("writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_says_what_was_foretold_and_what_came_of_it() {
    let mut store = limited(&with("judges = \"both\"")).await;
    let moved = |status: &StoreStatus| status.primary.as_ref().is_some_and(|primary| primary.as_str() == "b");
    let leaked = leak(&store, moved).await;
    let settled = |status: &StoreStatus| {
        status.risk.iter().flat_map(|risk| &risk.journal).any(|entry| entry.event == RiskEvent::Moved)
    };
    store.wait("the foretelling to be cut off", settled).await;
    drop(leaked);
    store.sidecar.stop(LONG).await.expect("ends");
    let file = store.dir.path().join("state/risk/demo.jsonl");
    let text = std::fs::read_to_string(file).expect("it is there");
    let entries: Vec<RiskEntry> =
        text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
    let first = |event| entries.iter().find(|entry| entry.event == event).unwrap_or_else(|| panic!("{text}"));
    let raised = first(RiskEvent::Raised);
    let place = [5, 15, 30].iter().position(|steps| Some(*steps) == raised.steps).expect("a horizon");
    assert!(raised.risk.is_some_and(|risk| risk[place] >= raised.threshold[place]), "{raised:?}");
    assert!(raised.causes.iter().any(|cause| cause.contains("connections")), "{raised:?}");
    let switched = entries.iter().find(|entry| entry.event == RiskEvent::Decided && entry.action == "switch");
    let switched = switched.unwrap_or_else(|| panic!("{text}"));
    assert!(switched.would == "switch" && switched.why.contains("mirror b"), "{switched:?}");
    assert!(first(RiskEvent::Moved).after_ms.is_some(), "{text}");
}
