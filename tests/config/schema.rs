//! `gateway.schema.json` is what the reader accepts and the documentation says of it; every example fits
//! it. `PORTCULLIS_WRITE_SCHEMA=1` writes the file anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use portcullis::config::marks::Values;
use portcullis::config::raw::{Gateway, Reader, Wrong};
use portcullis::server::load;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::surroundings::{said, tested};

const PROBE: &str = "no such key";
const DOCUMENTATION: &str = include_str!("../../docs/configuration.md");

/// Puts a value where a key stands, in a whole file.
type Place<'p> = &'p dyn Fn(Value) -> Value;

#[test]
fn the_schema_is_up_to_date() {
    let generated = format!("{:#}\n", generate());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.schema.json");
    if std::env::var_os("PORTCULLIS_WRITE_SCHEMA").is_some() {
        fs::write(&file, &generated).expect("writable");
    }

    let written = fs::read_to_string(file).expect("it is there");

    assert!(written == generated, "PORTCULLIS_WRITE_SCHEMA=1 cargo test --test config schema");
}

fn written() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.schema.json");
    serde_json::from_str(&fs::read_to_string(file).expect("it is there")).expect("JSON")
}

fn generate() -> Value {
    let documented = documented();
    let mut schema = node("", &|value| value, &documented);
    let top = schema.as_object_mut().expect("the file is a mapping");
    top.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    top.insert("title".to_owned(), json!("gateway.yaml of Portcullis"));
    let file = json!({ "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"],
        "additionalProperties": false, "description": "The content of a file, without its last newline" });
    let reference =
        json!({ "type": "string", "pattern": "\\$\\{", "description": "`${NAME}` or `${NAME:-default}`" });
    top.insert("$defs".to_owned(), json!({ "file": file, "reference": reference }));
    schema
}

/// What may stand at `path`, found out by asking the reader.
fn node(path: &str, place: Place<'_>, documented: &BTreeMap<String, String>) -> Value {
    let mut forms = scalars(place);
    if let Some(keys) = known_keys(&place(json!({ PROBE: null }))) {
        let child = |key: &&'static str| {
            let below = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
            ((*key).to_owned(), node(&below, &|value| place(json!({ *key: value })), documented))
        };
        let properties: Map<String, Value> = keys.iter().map(child).collect();
        forms.push(
            json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false }),
        );
    } else if is_accepted(&place(json!({ PROBE: null }))) {
        let entry = node(&format!("{path}.<name>"), &|value| place(json!({ "name": value })), documented);
        forms.push(json!({ "type": ["object", "null"], "additionalProperties": entry }));
    }
    if is_accepted(&place(json!([]))) {
        let item = node(&format!("{path}[]"), &|value| place(json!([value])), documented);
        forms.push(json!({ "type": ["array", "null"], "items": item }));
    }
    let mut schema = match forms.len() {
        1 => forms.remove(0),
        _ => json!({ "anyOf": forms }),
    };
    if let (Some(words), Some(schema)) = (documented.get(path), schema.as_object_mut()) {
        schema.insert("description".to_owned(), json!(words));
    }
    schema
}

/// The forms without parts; each may also come from a variable or a file.
fn scalars(place: Place<'_>) -> Vec<Value> {
    let word = place(json!("no such word"));
    let accepts = |value: Value| is_accepted(&place(value));
    let own = match Gateway::deserialize(Reader(&word)).err().map(|mismatch| mismatch.wrong) {
        Some(Wrong::Word { known, .. }) => {
            let words: Vec<Value> = known.iter().map(|word| json!(word)).collect();
            json!({ "enum": words })
        }
        None => json!({ "type": ["string", "number", "boolean", "null"] }),
        _ if accepts(json!(7)) => json!({ "type": ["integer", "null"], "minimum": 0 }),
        _ if accepts(json!(true)) => json!({ "type": ["boolean", "null"] }),
        _ => return Vec::new(),
    };
    vec![own, json!({ "$ref": "#/$defs/reference" }), json!({ "$ref": "#/$defs/file" })]
}

fn known_keys(tree: &Value) -> Option<&'static [&'static str]> {
    match Gateway::deserialize(Reader(tree)).err()?.wrong {
        Wrong::Key { key, known } if key == PROBE => Some(known),
        _ => None,
    }
}

fn is_accepted(tree: &Value) -> bool {
    Gateway::deserialize(Reader(tree)).is_ok()
}

/// What the tables of the documentation say of each key, in one line.
fn documented() -> BTreeMap<String, String> {
    let rows = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let describe = |(key, rest): (&str, &str)| {
        let cells: Vec<&str> = rest.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let words = match cells.as_slice() {
            [kind] => (*kind).to_owned(),
            [kind, words] => format!("{words} ({kind})"),
            [kind, default, words @ ..] => format!("{} ({kind}; default: {default})", words.join(" ")),
            [] => String::new(),
        };
        (key.to_owned(), words.replace('`', ""))
    };
    rows.map(describe).collect()
}

#[test]
fn every_key_of_the_schema_says_what_it_is() {
    let schema: Value = written();
    let routes = &schema["properties"]["routes"];
    let route = &routes["items"]["properties"];

    assert_eq!(routes["type"], json!(["array", "null"]));
    assert!(route["access"]["description"].as_str().is_some_and(|text| text.contains("authenticated")));
    assert_eq!(route["access"]["anyOf"][0]["enum"], json!(["public", "optional", "authenticated"]));
    assert!(schema["properties"].as_object().expect("a mapping").len() > 10);
}

#[test]
fn every_example_fits_the_schema() {
    let schema: Value = written();
    let mut examples = vec![
        include_str!("../../gateway.yaml").to_owned(),
        include_str!("../../examples/replaced/flask-limiter.yaml").to_owned(),
        include_str!("../../examples/replaced/fastapi-redis.yaml").to_owned(),
        include_str!("../../examples/replaced/fastapi-blacklist.yaml").to_owned(),
        include_str!("../../examples/replaced/flask-user-resource.yaml").to_owned(),
        include_str!("../../examples/replaced/flask-rbac.yaml").to_owned(),
    ];
    let pages = [
        DOCUMENTATION,
        include_str!("../../README.md"),
        include_str!("../../docs/operations.md"),
        include_str!("../../docs/issuers.md"),
    ];
    examples.extend(pages.into_iter().flat_map(fenced));
    assert!(examples.len() >= 5, "{}", examples.len());
    for example in examples {
        let tree = Values::read(&example).expect("YAML").tree;
        assert_eq!(check(&schema, &schema, &tree, "").err(), None, "{example}");
    }
}

#[test]
fn what_is_wrong_does_not_fit_the_schema() {
    let schema: Value = written();
    for wrong in [
        json!({ "rotues": [] }),
        json!({ "routes": [{ "path": "/a", "acess": "public" }] }),
        json!({ "routes": [{ "access": "pubilc" }] }),
        json!({ "routes": { "path": "/a" } }),
        json!({ "auth": { "password": { "workers": "many" } } }),
        json!({ "forwarding": { "fast_lane": "maybe" } }),
        json!(["version"]),
    ] {
        assert!(check(&schema, &schema, &wrong, "").is_err(), "{wrong}");
    }
}

/// The first examples of the documentation, for somebody who knows nginx: whole files whose own tests
/// hold.
#[test]
fn the_first_steps_hold_what_they_promise() {
    let steps = DOCUMENTATION.split("## First steps").nth(1).and_then(|rest| rest.split("## Values").next());
    let steps = fenced(steps.expect("there is such a part"));
    assert_eq!(steps.len(), 3);
    for step in steps {
        assert_eq!(said(&tested(&step)), "", "{step}");
        assert!(step.lines().count() <= 6 && step.contains("tests:"), "{step}");
        assert!(
            load::load_text("x", &step.replace("expect: ", "expect: x"), &crate::surroundings::Bare).is_err()
        );
    }
}

fn fenced(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// As much of JSON Schema as ours uses.
fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/")) {
        return check(root, &root["$defs"][name], value, path);
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        let errors: Vec<String> =
            forms.iter().filter_map(|form| check(root, form, value, path).err()).collect();
        return if errors.len() < forms.len() { Ok(()) } else { Err(errors.join("; ")) };
    }
    let wrong = |what: &str| Err(format!("{path}: {what}: {value}"));
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        kinds => kinds.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of_kind(value, kind)) {
        return wrong("type");
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return wrong("enum");
    }
    if schema["pattern"] == json!("\\$\\{") && !value.as_str().is_some_and(|text| text.contains("${")) {
        return wrong("pattern");
    }
    for (key, entry) in value.as_object().into_iter().flatten() {
        let below = match schema["properties"].get(key) {
            Some(property) => property,
            None if schema["additionalProperties"] == json!(false) => return wrong(key),
            None => &schema["additionalProperties"],
        };
        check(root, below, entry, &format!("{path}.{key}"))?;
    }
    for item in value.as_array().into_iter().flatten() {
        check(root, &schema["items"], item, &format!("{path}[]"))?;
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if required.into_iter().any(|key| value.get(key).is_none()) { wrong("required") } else { Ok(()) }
}

fn is_of_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema names the type {other:?}"),
    }
}
