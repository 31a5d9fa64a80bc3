//! A model that keeps the contract: read, checked, tried, and only then believed.
//!
//! The graph has one input, `x`, float32 `[N, WINDOW, FEATURES]`, and one output, `risk`, float32 `[N, 3]`. Its metadata states
//! the digest of the contract that it was trained for and the base rates that it was calibrated to. Everything between (scaling,
//! masks, trends, network, calibration) is in the graph, so that Python and Rust can't differ in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::pb::{
    ModelProto, TensorProto, TypeProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};
use tract_onnx::prelude::{
    Datum as _, DatumExt as _, Framework as _, InferenceModelExt as _, IntoRunnable as _, Tensor,
    TypedRunnableModel, tvec,
};

use crate::contract::{FEATURES, Feature, HORIZONS, MISSING, WINDOW, digest};
use crate::features::Window;
use crate::risk::{Predictor, Risk, Unknown};
use crate::threshold::{BadThresholds, Thresholds};

/// The model that comes with the program.
const EMBEDDED: &[u8] = include_bytes!("../../../models/risk/model.onnx");
/// Largest file that is read as a model. Ours has some 50 KB; without a bound a wrong path could fill the memory.
const BYTES_MOST: u64 = 64 << 20;
const INPUT: &str = "x";
const OUTPUT: &str = "risk";
/// Metadata: SHA-256 of the contract.
const DIGEST: &str = "features_sha256";

/// A model, ready to be asked.
pub struct Model {
    plan: Arc<TypedRunnableModel>,
    base_rates: Option<[f64; HORIZONS.len()]>,
    thresholds: Option<Thresholds>,
}

/// Why a model was refused.
#[derive(Debug, thiserror::Error)]
pub enum BadModel {
    /// The file can't be read.
    #[error("the model can't be read")]
    Read(#[from] std::io::Error),
    /// It is no ONNX, or uses what can't be run here. The text is the runtime's.
    #[error("not a graph that can be run: {0}")]
    Graph(String),
    /// It has other inputs or outputs.
    #[error("the {place} must be {wanted}, and is {found}")]
    Signature {
        /// Input or output.
        place: &'static str,
        /// What the contract says.
        wanted: String,
        /// What the model says.
        found: String,
    },
    /// It was trained for another contract.
    #[error("it was trained for the features {found}, and these are {wanted}")]
    Contract {
        /// Digest of our contract.
        wanted: String,
        /// Digest that it states, or what it states instead.
        found: String,
    },
    /// One of its constants is no number. The runtime's bounds turn that into a number again, so that it wouldn't show.
    #[error("its constant {0:?} holds what is no number")]
    NotFinite(String),
    /// It states levels of alarms that can't be.
    #[error("the levels of alarms in its metadata can't be used")]
    Thresholds(#[from] BadThresholds),
    /// It gave no risk when it was tried.
    #[error("tried with {with}, it gave no risk ({why:?})")]
    Probe {
        /// Which input.
        with: &'static str,
        /// What came out.
        why: Unknown,
    },
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("base_rates", &self.base_rates).finish_non_exhaustive()
    }
}

impl Model {
    /// The model that comes with the program. Takes some ten milliseconds.
    ///
    /// # Errors
    /// As [`Self::from_bytes`]; a test holds that there are none.
    pub fn embedded() -> Result<Self, BadModel> {
        Self::from_bytes(EMBEDDED)
    }

    /// Reads a model from a file.
    ///
    /// # Errors
    /// As [`Self::from_bytes`], and [`BadModel::Read`].
    pub fn read(path: &Path) -> Result<Self, BadModel> {
        if std::fs::metadata(path)?.len() > BYTES_MOST {
            return Err(BadModel::Graph(format!("larger than {BYTES_MOST} bytes")));
        }
        Self::from_bytes(&std::fs::read(path)?)
    }

    /// Reads, checks and tries a model.
    ///
    /// # Errors
    /// [`BadModel`] says what doesn't keep the contract.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadModel> {
        let mut bytes = bytes;
        let onnx = tract_onnx::onnx();
        let proto = onnx.proto_model_for_read(&mut bytes).map_err(graph)?;
        signature(&proto)?;
        let metadata: BTreeMap<&str, &str> =
            proto.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        let (wanted, found) = (digest(), metadata.get(DIGEST).copied().unwrap_or("nothing"));
        if found != wanted {
            return Err(BadModel::Contract { wanted, found: found.to_owned() });
        }
        let thresholds = thresholds(&metadata)?;
        for constant in proto.graph.iter().flat_map(|graph| &graph.initializer) {
            if !is_finite(constant) {
                return Err(BadModel::NotFinite(constant.name.clone()));
            }
        }
        let plan = onnx
            .model_for_proto_model(&proto)
            .and_then(|model| model.with_input_fact(0, f32::fact([1, WINDOW, FEATURES]).into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(graph)?;
        let model = Self { plan, base_rates: base_rates(&metadata), thresholds };
        model.probe()?;
        Ok(model)
    }

    /// Share of steps that a failure followed within each horizon, where the model was calibrated; `None` when it doesn't
    /// say. [`crate::Calibration`] moves the risk from there to here.
    #[must_use]
    pub const fn base_rates(&self) -> Option<[f64; HORIZONS.len()]> {
        self.base_rates
    }

    /// Levels at which its alarms begin, together with the rule's; `None` when it doesn't say.
    #[must_use]
    pub const fn thresholds(&self) -> Option<Thresholds> {
        self.thresholds
    }

    /// Inputs at the borders must give a risk: nothing known, everything at its least, everything at its most.
    fn probe(&self) -> Result<(), BadModel> {
        let whole = |value: fn(Feature) -> f32| Feature::ALL.map(value).repeat(WINDOW);
        for (with, input) in [
            ("nothing known", vec![MISSING; WINDOW * FEATURES]),
            ("the least values", whole(|feature| feature.spec().low)),
            ("the greatest values", whole(|feature| feature.spec().high)),
        ] {
            self.run(&input).map_err(|why| BadModel::Probe { with, why })?;
        }
        Ok(())
    }

    fn run(&self, input: &[f32]) -> Result<Risk, Unknown> {
        let input = Tensor::from_shape(&[1, WINDOW, FEATURES], input).map_err(|_| Unknown::Inference)?;
        let output = self.plan.run(tvec!(input.into())).map_err(|_| Unknown::Inference)?;
        let [output] = output.as_slice() else { return Err(Unknown::Shape) };
        if output.shape() != [1, HORIZONS.len()] || output.datum_type() != f32::datum_type() {
            return Err(Unknown::Shape);
        }
        let view = output.as_plain_ram().ok_or(Unknown::Shape)?;
        let values = view.as_slice::<f32>().map_err(|_| Unknown::Shape)?;
        let values = <[f32; HORIZONS.len()]>::try_from(values).map_err(|_| Unknown::Shape)?;
        Risk::new(values).ok_or(Unknown::NotFinite)
    }
}

impl Predictor for Model {
    fn risk(&self, window: &Window) -> Result<Risk, Unknown> {
        // What a model says of nothing is its base rate, and no news of this store.
        if Feature::ALL.iter().all(|feature| window.last(*feature, WINDOW).is_none()) {
            return Err(Unknown::NoData);
        }
        self.run(&window.to_input())
    }
}

/// The runtime's errors are chains; their first lines say enough.
fn graph(error: impl fmt::Display) -> BadModel {
    BadModel::Graph(error.to_string())
}

fn signature(proto: &ModelProto) -> Result<(), BadModel> {
    let graph = proto.graph.as_ref().ok_or_else(|| BadModel::Graph("it is empty".to_owned()))?;
    // Old files list the constants as inputs, too.
    let constants: Vec<&str> = graph.initializer.iter().map(|constant| constant.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|input| !constants.contains(&input.name.as_str()));
    one("input", inputs, &format!("{INPUT}: float32 [N, {WINDOW}, {FEATURES}]"))?;
    one("output", graph.output.iter(), &format!("{OUTPUT}: float32 [N, {}]", HORIZONS.len()))
}

fn one<'a>(
    place: &'static str,
    found: impl Iterator<Item = &'a ValueInfoProto>,
    wanted: &str,
) -> Result<(), BadModel> {
    let found: Vec<String> = found.map(describe).collect();
    if found == [wanted] {
        return Ok(());
    }
    Err(BadModel::Signature { place, wanted: wanted.to_owned(), found: found.join(", ") })
}

/// A value's name, type and shape; the first dimension is the batch, whatever it is called.
fn describe(value: &ValueInfoProto) -> String {
    let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &value.r#type else {
        return format!("{}: no tensor", value.name);
    };
    let kind =
        if tensor.elem_type == FLOAT { "float32".to_owned() } else { format!("type {}", tensor.elem_type) };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim).enumerate();
    let dims: Vec<String> = dims
        .map(|(place, dim)| match &dim.value {
            Some(dimension::Value::DimValue(size)) => size.to_string(),
            _ if place == 0 => "N".to_owned(),
            Some(dimension::Value::DimParam(name)) => name.clone(),
            None => "?".to_owned(),
        })
        .collect();
    format!("{}: {kind} [{}]", value.name, dims.join(", "))
}

/// `TensorProto.DataType.FLOAT` (onnx.proto).
const FLOAT: i32 = 1;

/// Whether every single-precision number of a constant is one.
fn is_finite(constant: &TensorProto) -> bool {
    constant.data_type != FLOAT
        || constant.float_data.iter().all(|value| value.is_finite())
            && constant.raw_data.as_chunks().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite())
}

/// The levels `enter_5`, `enter_15` and `enter_30`: all of them, or none is stated.
fn thresholds(metadata: &BTreeMap<&str, &str>) -> Result<Option<Thresholds>, BadThresholds> {
    let stated = HORIZONS.map(|horizon| metadata.get(format!("enter_{horizon}").as_str()).copied());
    if stated == [None; HORIZONS.len()] {
        return Ok(None);
    }
    // What is no number is no level either, and is refused as one.
    let enter = stated.map(|level| level.and_then(|level| level.parse().ok()).unwrap_or(f32::NAN));
    Thresholds::new(enter).map(Some)
}

fn base_rates(metadata: &BTreeMap<&str, &str>) -> Option<[f64; HORIZONS.len()]> {
    let mut rates = [0.0; HORIZONS.len()];
    for (rate, horizon) in rates.iter_mut().zip(HORIZONS) {
        let stated = metadata.get(format!("base_rate_{horizon}").as_str())?;
        *rate = stated.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))?;
    }
    Some(rates)
}

#[cfg(test)]
mod tests;
