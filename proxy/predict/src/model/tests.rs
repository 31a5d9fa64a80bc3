//! Goal: Rust says what Python said, and a model that doesn't keep the contract is refused with the reason.
//!
//! Method: golden vectors that training wrote; the embedded model with one thing changed.

use prost::Message as _;
use serde::Deserialize;
use tract_onnx::pb::{NodeProto, StringStringEntryProto, TensorShapeProto};

use super::*;
use crate::features::Row;
use crate::headroom::standings;

/// Python sums in another order.
const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    features: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    rows: Vec<Vec<Option<f64>>>,
    rule: Option<[f64; 3]>,
    risk: [f64; 3],
}

impl Case {
    fn window(&self) -> Window {
        let mut window = Window::default();
        for values in &self.rows {
            let mut row = Row::default();
            for (feature, value) in Feature::ALL.into_iter().zip(values) {
                row.set(feature, *value);
            }
            window.push(row);
        }
        window
    }
}

fn golden() -> Golden {
    let text = include_str!("../../../../models/risk/golden.json");
    serde_json::from_str(text).expect("training wrote it in this shape")
}

fn apart(found: [f64; 3], wanted: [f64; 3]) -> f64 {
    found.into_iter().zip(wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max)
}

fn embedded() -> Model {
    Model::embedded().expect("it keeps the contract that it comes with")
}

/// The embedded model with something changed.
fn changed(change: impl FnOnce(&mut ModelProto)) -> Result<Model, BadModel> {
    let mut proto = ModelProto::decode(EMBEDDED).expect("it is ONNX");
    change(&mut proto);
    Model::from_bytes(&proto.encode_to_vec())
}

fn refusal(change: impl FnOnce(&mut ModelProto)) -> String {
    changed(change).expect_err("it doesn't keep the contract").to_string()
}

fn tensor(value: &mut ValueInfoProto) -> &mut type_proto::Tensor {
    match value.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        other => panic!("a tensor, and not {other:?}"),
    }
}

fn graph_of(proto: &mut ModelProto) -> &mut tract_onnx::pb::GraphProto {
    proto.graph.as_mut().expect("a graph")
}

#[test]
fn the_model_says_what_python_says() {
    let (golden, model) = (golden(), embedded());
    assert_eq!(golden.features, Feature::ALL.map(|feature| feature.spec().name));
    assert!(golden.cases.len() >= 10, "only {} cases", golden.cases.len());
    for case in &golden.cases {
        // A window of nothing is not asked about by `Predictor`, and the graph must stand it all the same.
        let found = model.run(&case.window().to_input()).expect("a risk");
        let distance = apart(found.to_array().map(f64::from), case.risk);
        assert!(distance <= TOLERANCE, "{}: {found} is {distance} from {:?}", case.name, case.risk);
    }
}

#[test]
fn the_rule_says_what_python_says() {
    for case in golden().cases {
        let found = standings(&case.window()).iter().map(|standing| standing.risk()).reduce(|a, b| {
            let mut most = a;
            most.iter_mut().zip(b).for_each(|(most, other)| *most = most.max(other));
            most
        });
        match (found, case.rule) {
            (Some(found), Some(wanted)) => {
                let distance = apart(found, wanted);
                assert!(distance <= TOLERANCE, "{}: {found:?} is not {wanted:?}", case.name);
            }
            (found, wanted) => assert_eq!(found, wanted, "{}", case.name),
        }
    }
}

#[test]
fn golden_vectors_hold_what_they_should() {
    let golden = golden();
    let told: Vec<f64> = golden.cases.iter().map(|case| case.risk[2]).collect();
    assert!(told.iter().any(|p| *p > 0.3) && told.iter().any(|p| *p < 0.05), "{told:?}");
    assert!(golden.cases.iter().any(|case| case.rows.len() < 10), "a short history");
    let unknown = |case: &Case| case.rows.iter().flatten().filter(|value| value.is_none()).count();
    assert!(golden.cases.iter().any(|case| unknown(case) > case.rows.len() * FEATURES / 2), "gaps");
    assert!(golden.cases.iter().any(|case| case.rule.is_none()), "nothing for the rule to see");
}

#[test]
fn a_window_of_nothing_is_no_news() {
    let mut window = Window::default();
    assert_eq!(embedded().risk(&window), Err(Unknown::NoData));
    window.skip(10);
    assert_eq!(embedded().risk(&window), Err(Unknown::NoData));
}

#[test]
fn the_embedded_model_says_where_it_was_calibrated() {
    let rates = embedded().base_rates().expect("training states them");
    assert!(0.0 < rates[0] && rates[0] < rates[1] && rates[1] < rates[2] && rates[2] < 0.5, "{rates:?}");
    let mute = changed(|proto| proto.metadata_props.retain(|entry| !entry.key.starts_with("base_rate")));
    assert_eq!(mute.expect("it isn't obliged to say").base_rates(), None);
}

#[test]
fn what_is_no_model_is_refused() {
    assert!(matches!(Model::from_bytes(b"not a model"), Err(BadModel::Graph(_))));
    assert!(matches!(Model::from_bytes(b""), Err(BadModel::Graph(_))));
    assert!(matches!(Model::read(Path::new("/nowhere/model.onnx")), Err(BadModel::Read(_))));
    for cut in [EMBEDDED.len() / 2, EMBEDDED.len() - 7] {
        assert!(Model::from_bytes(&EMBEDDED[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn another_contract_is_refused() {
    let other = |proto: &mut ModelProto| {
        for entry in proto.metadata_props.iter_mut().filter(|entry| entry.key == DIGEST) {
            entry.value = "0".repeat(64);
        }
    };
    assert_eq!(
        refusal(other),
        format!("it was trained for the features {}, and these are {}", "0".repeat(64), digest())
    );
    let none = refusal(|proto| proto.metadata_props.clear());
    assert!(none.starts_with("it was trained for the features nothing"), "{none}");
    // The last entry of a name counts, so one can't hide behind another.
    let twice = refusal(|proto| {
        proto.metadata_props.push(StringStringEntryProto { key: DIGEST.to_owned(), value: "x".to_owned() });
    });
    assert!(twice.contains("the features x"), "{twice}");
}

#[test]
fn other_inputs_and_outputs_are_refused_in_words() {
    assert_eq!(
        refusal(|proto| graph_of(proto).input[0].name = "y".to_owned()),
        "the input must be x: float32 [N, 60, 20], and is y: float32 [N, 60, 20]"
    );
    let narrow = refusal(|proto| {
        let shape = tensor(&mut graph_of(proto).input[0]).shape.get_or_insert_with(TensorShapeProto::default);
        shape.dim[2].value = Some(dimension::Value::DimValue(19));
    });
    assert_eq!(narrow, "the input must be x: float32 [N, 60, 20], and is x: float32 [N, 60, 19]");
    let double = refusal(|proto| tensor(&mut graph_of(proto).output[0]).elem_type = 11);
    assert_eq!(double, "the output must be risk: float32 [N, 3], and is risk: type 11 [N, 3]");
    let two = refusal(|proto| {
        let again = graph_of(proto).output[0].clone();
        graph_of(proto).output.push(again);
    });
    assert!(two.ends_with("risk: float32 [N, 3], risk: float32 [N, 3]"), "{two}");
}

#[test]
fn a_model_that_talks_nonsense_is_refused_when_it_is_tried() {
    // One node more: the logarithm of what is negative is no number.
    let broken = changed(|proto| {
        let graph = graph_of(proto);
        let last = graph.node.iter_mut().find(|node| node.output.iter().any(|o| o == OUTPUT));
        last.expect("something gives the output").output = vec!["fine".to_owned()];
        for (from, kind, to) in [("fine", "Neg", "negative"), ("negative", "Log", OUTPUT)] {
            graph.node.push(NodeProto {
                input: vec![from.to_owned()],
                output: vec![to.to_owned()],
                op_type: kind.to_owned(),
                ..NodeProto::default()
            });
        }
    });
    assert!(matches!(broken, Err(BadModel::Probe { why: Unknown::NotFinite, .. })), "{broken:?}");
}

#[test]
fn a_constant_that_is_no_number_is_refused_by_name() {
    // The runtime's Clip makes -15 of a NaN, so the answer would look like one.
    for value in [f32::NAN, f32::INFINITY] {
        let broken = refusal(|proto| {
            let constants = graph_of(proto).initializer.iter_mut();
            let constant = constants.filter(|c| c.data_type == FLOAT).last().expect("it has constants");
            constant.name = "weight".to_owned();
            constant.raw_data.truncate(constant.raw_data.len() - 4);
            constant.raw_data.extend(value.to_le_bytes());
        });
        assert_eq!(broken, "its constant \"weight\" holds what is no number");
    }
}

#[test]
fn the_embedded_model_states_the_levels_that_stand_beside_it() {
    let beside = Thresholds::embedded(true).expect("training wrote them");
    assert_eq!(embedded().thresholds(), Some(beside));
    let mute = changed(|proto| proto.metadata_props.retain(|entry| !entry.key.starts_with("enter_")));
    assert_eq!(mute.expect("it isn't obliged to say").thresholds(), None);
    for level in ["0", "1", "x", "NaN"] {
        let wrong = changed(|proto| {
            for entry in proto.metadata_props.iter_mut().filter(|entry| entry.key == "enter_15") {
                entry.value = level.to_owned();
            }
        });
        assert!(matches!(wrong, Err(BadModel::Thresholds(_))), "{level}: {wrong:?}");
    }
    let one_short = changed(|proto| proto.metadata_props.retain(|entry| entry.key != "enter_30"));
    assert!(matches!(one_short, Err(BadModel::Thresholds(_))), "{one_short:?}");
}

#[test]
fn an_output_of_another_shape_than_stated_is_refused() {
    // The last node joins three columns: without one of them there are two.
    let short = changed(|proto| {
        for node in graph_of(proto).node.iter_mut().filter(|node| node.output.iter().any(|o| o == OUTPUT)) {
            node.input.pop();
        }
    });
    assert!(
        matches!(short, Err(BadModel::Probe { why: Unknown::Shape, .. } | BadModel::Graph(_))),
        "{short:?}"
    );
}

#[test]
fn a_file_that_is_larger_than_any_model_is_not_read() {
    let path = std::env::temp_dir().join(format!("foretoken-model-{}.onnx", std::process::id()));
    let read = |length: u64| {
        std::fs::File::create(&path)
            .and_then(|file| file.set_len(length))
            .expect("a directory for such files");
        let refused = Model::read(&path);
        std::fs::remove_file(&path).expect("it is there");
        matches!(refused, Err(BadModel::Graph(why)) if why.contains("larger than"))
    };
    assert!(!read(BYTES_MOST) && read(BYTES_MOST + 1));
}

#[test]
fn a_model_is_read_from_its_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/risk/model.onnx");
    assert!(Model::read(&file).is_ok());
}

#[test]
fn a_model_shows_what_it_was_trained_on_and_not_its_weights() {
    let shown = format!("{:?}", Model::embedded().expect("a test holds that"));
    assert!(shown.starts_with("Model { base_rates: Some([") && shown.len() < 200, "{shown}");
}

#[test]
fn a_shape_is_told_with_the_names_of_what_is_open() {
    let mut proto = ModelProto::decode(EMBEDDED).expect("it is ONNX");
    let mut input = graph_of(&mut proto).input[0].clone();
    let dims = &mut tensor(&mut input).shape.as_mut().expect("a shape").dim;
    let named = |name: &str| Some(dimension::Value::DimParam(name.to_owned()));
    (dims[0].value, dims[1].value, dims[2].value) = (named("batch"), named("rows"), None);
    assert_eq!(
        describe(&input),
        format!("{}: float32 [N, rows, ?]", input.name),
        "whatever a batch is called"
    );
}
