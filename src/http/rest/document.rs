//! The API's document (OpenAPI 3.1), and requests as it describes them: every body, query and path is checked against it before
//! a handler sees it, so the document cannot be wrong about what is accepted, and what is wrong is told in one way everywhere.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Query};
use axum::http::Method;
use axum::http::request::Parts;
use kim_core::config::nearest;
use kim_core::wire::is_text;
use serde_json::{Map, Value};

use super::problem::Problem;

/// The document as it is served.
pub(super) const TEXT: &str = include_str!("openapi.json");

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::read(TEXT));

/// Text with characters that neither a stanza nor an address can carry.
pub(super) const NOT_TEXT: &str = "the request contains control characters that cannot be sent over XMPP";

struct Document {
    schemas: Value,
    operations: HashMap<(String, String), Operation>,
}

/// What a method does at a path.
pub(super) struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Value>,
}

struct Parameter {
    name: String,
    /// `query`, `path` or `header`.
    place: String,
    is_required: bool,
    schema: Value,
}

impl Document {
    fn read(text: &str) -> Document {
        let document: Value = serde_json::from_str(text).unwrap_or_default();
        let mut operations = HashMap::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let place = (method.to_uppercase(), path.clone());
                operations.insert(place, Operation::read(operation));
            }
        }
        Document {
            schemas: document["components"]["schemas"].clone(),
            operations,
        }
    }

    /// Follows a reference.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => &self.schemas[reference.rsplit('/').next().unwrap_or_default()],
            None => schema,
        }
    }
}

impl Operation {
    fn read(operation: &Value) -> Operation {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        Operation {
            parameters: parameters
                .map(|parameter| Parameter {
                    name: text(&parameter["name"]),
                    place: text(&parameter["in"]),
                    is_required: parameter["required"] == true,
                    schema: parameter["schema"].clone(),
                })
                .collect(),
            body: (!body.is_null()).then(|| body.clone()),
        }
    }

    /// The operation that a request is for.
    pub fn of(parts: &Parts) -> Result<&'static Operation, Problem> {
        let path = parts.extensions.get::<MatchedPath>().ok_or_else(Problem::ours)?;
        let method = match &parts.method {
            &Method::HEAD => "GET",
            other => other.as_str(),
        };
        let place = (method.to_owned(), path.as_str().to_owned());
        DOCUMENT.operations.get(&place).ok_or_else(Problem::ours)
    }

    /// Checks a body.
    pub fn check_body(&self, body: &Value) -> Result<(), Problem> {
        match &self.body {
            Some(schema) => check(schema, body, "").map_err(Problem::bad),
            None => Ok(()),
        }
    }

    /// Checks what stands in the path.
    pub fn check_path<'a>(&self, segments: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), Problem> {
        for (name, value) in segments {
            let of_path = |known: &&Parameter| known.place == "path" && known.name == name;
            if let Some(parameter) = self.parameters.iter().find(of_path) {
                let value = typed(&parameter.schema, value);
                check(&parameter.schema, &value, name).map_err(Problem::bad)?;
            }
        }
        Ok(())
    }

    fn check_query(&self, pairs: &[(String, String)]) -> Result<(), String> {
        let known: Vec<&Parameter> = self
            .parameters
            .iter()
            .filter(|known| known.place == "query")
            .collect();
        let mut given: Map<String, Value> = Map::new();
        for (name, value) in pairs {
            let Some(parameter) = known.iter().find(|known| known.name == *name) else {
                return Err(unknown(
                    "parameter",
                    name,
                    known.iter().map(|known| known.name.as_str()),
                ));
            };
            let value = typed(&parameter.schema, value);
            match given.get_mut(name) {
                None if is_list(&parameter.schema) => {
                    drop(given.insert(name.clone(), Value::Array(vec![value])))
                }
                None => drop(given.insert(name.clone(), value)),
                Some(Value::Array(values)) => values.push(value),
                Some(_) => return Err(format!("the parameter \"{name}\" must be given only once")),
            }
        }
        for parameter in known {
            match given.get(&parameter.name) {
                Some(value) => check(&parameter.schema, value, &parameter.name)?,
                None if parameter.is_required => {
                    return Err(format!("the parameter \"{}\" is required", parameter.name));
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Checks what stands behind the `?` of a request.
pub(super) fn check_query(parts: &Parts) -> Result<(), Problem> {
    let operation = Operation::of(parts)?;
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(pairs) = pairs.map_err(|_| Problem::bad("the query string cannot be decoded"))?;
    if pairs.iter().any(|(_, value)| !is_text(value)) {
        return Err(Problem::bad(NOT_TEXT));
    }
    operation.check_query(&pairs).map_err(Problem::bad)
}

fn is_list(schema: &Value) -> bool {
    schema["type"] == "array"
}

/// Text from a query or a path as the type that it should have, if it can have that.
fn typed(schema: &Value, text: &str) -> Value {
    let schema = if is_list(schema) { &schema["items"] } else { schema };
    let typed = match schema["type"].as_str() {
        Some("integer") => text.parse::<u64>().ok().map(Value::from),
        Some("boolean") => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    typed.unwrap_or_else(|| text.into())
}

/// Checks a value: as much of JSON Schema as the document uses. `at` is where the value stands.
fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = DOCUMENT.resolved(schema);
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    if value.is_null() && kinds.contains(&"null") {
        return Ok(());
    }
    let wrong = || Err(format!("{} {}", named(at), expected(schema, &kinds)));
    let number = |key: &str| schema[key].as_u64();
    let within = |count: usize, least: &str, most: &str| {
        number(least).is_none_or(|least| count as u64 >= least)
            && number(most).is_none_or(|most| count as u64 <= most)
    };
    match value {
        Value::Object(fields) if kinds.contains(&"object") => check_fields(schema, fields, at),
        Value::Array(values) if kinds.contains(&"array") => {
            if !within(values.len(), "minItems", "maxItems") {
                return wrong();
            }
            let mut values = values.iter().enumerate();
            values.try_for_each(|(index, value)| check(&schema["items"], value, &format!("{at}[{index}]")))
        }
        Value::String(text) if kinds.contains(&"string") => {
            let choices = schema["enum"].as_array();
            let is_choice = choices.is_none_or(|choices| choices.contains(value));
            // How long a text may be is for the handlers: they have codes of their own for that.
            let is_long_enough = number("minLength").is_none_or(|least| text.chars().count() as u64 >= least);
            match is_choice && is_long_enough {
                true => Ok(()),
                false => wrong(),
            }
        }
        Value::Bool(_) if kinds.contains(&"boolean") => Ok(()),
        Value::Number(found) if kinds.contains(&"integer") => {
            let is_within = found.as_u64().is_some_and(|found| {
                number("minimum").is_none_or(|least| found >= least)
                    && number("maximum").is_none_or(|most| found <= most)
            });
            if is_within { Ok(()) } else { wrong() }
        }
        _ => wrong(),
    }
}

fn check_fields(schema: &Value, fields: &Map<String, Value>, at: &str) -> Result<(), String> {
    let none = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&none);
    let place = |name: &str| {
        if at.is_empty() {
            name.to_owned()
        } else {
            format!("{at}.{name}")
        }
    };
    for (name, value) in fields {
        match known.get(name) {
            Some(schema) => check(schema, value, &place(name))?,
            None => return Err(unknown("field", &place(name), known.keys().map(String::as_str))),
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let mut missing = required
        .filter_map(Value::as_str)
        .filter(|name| !fields.contains_key(*name));
    match missing.next() {
        Some(name) => Err(format!("the field \"{}\" is required", place(name))),
        None => Ok(()),
    }
}

fn named(at: &str) -> String {
    match at {
        "" => "the body".to_owned(),
        at => format!("\"{at}\""),
    }
}

/// `unknown field "encrytped"; did you mean "encrypted"?`
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hint = match nearest(last, known.clone()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => match known.collect::<Vec<_>>() {
            known if known.is_empty() => format!("there are no {what}s here"),
            known => format!("the {what}s are {}", known.join(", ")),
        },
    };
    format!("unknown {what} \"{name}\"; {hint}")
}

/// What a value must be.
fn expected(schema: &Value, kinds: &[&str]) -> String {
    let number = |key: &str| schema[key].as_u64();
    let range = |least: &str, most: &str| match (number(least), number(most)) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    };
    let kind = kinds.iter().find(|kind| **kind != "null").copied();
    match kind {
        Some("string") => match schema["enum"].as_array() {
            Some(choices) => {
                let choices = choices.iter().filter_map(Value::as_str);
                format!("must be one of {}", choices.collect::<Vec<_>>().join(", "))
            }
            None if number("minLength").is_some() => "must be a string that is not empty".to_owned(),
            None => "must be a string".to_owned(),
        },
        Some("boolean") => "must be true or false".to_owned(),
        Some("integer") => format!("must be a whole number{}", range("minimum", "maximum")),
        Some("array") => match (number("minItems"), number("maxItems")) {
            (Some(1), None) => "must be a list that is not empty".to_owned(),
            (_, Some(most)) => format!("must be a list of at most {most} items"),
            _ => "must be a list".to_owned(),
        },
        _ => "must be a JSON object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operation(method: &str, path: &str) -> &'static Operation {
        let place = (method.to_owned(), path.to_owned());
        DOCUMENT.operations.get(&place).expect(path)
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_in_a_sentence() {
        let send = operation("POST", "/api/message/send").body.as_ref().unwrap();
        let keys = operation("PUT", "/api/keys").body.as_ref().unwrap();
        let login = operation("POST", "/api/login").body.as_ref().unwrap();
        for (schema, body, told) in [
            (send, json!([]), "the body must be a JSON object"),
            (
                send,
                json!({ "to": "bob", "content": "x", "encrytped": true }),
                "unknown field \"encrytped\"; did you mean \"encrypted\"?",
            ),
            (send, json!({ "to": "bob" }), "the field \"content\" is required"),
            (
                send,
                json!({ "to": 1, "content": "x" }),
                "\"to\" must be a string",
            ),
            (
                send,
                json!({ "to": "bob", "content": "" }),
                "\"content\" must be a string that is not empty",
            ),
            (
                send,
                json!({ "to": "bob", "content": "x", "encrypted": "true" }),
                "\"encrypted\" must be true or false",
            ),
            (
                send,
                json!({ "to": "bob", "content": "x", "encryption_type": "ROT13" }),
                "\"encryption_type\" must be one of AES-256-GCM, OMEMO",
            ),
            (
                login,
                json!({ "username": "a", "password": "b", "expires_in": -1 }),
                "\"expires_in\" must be a whole number from 0 to 4294967295",
            ),
            (
                login,
                json!({ "username": "a", "password": "b", "scopes": [] }),
                "\"scopes\" must be a list that is not empty",
            ),
            (
                login,
                json!({ "username": "a", "password": "b", "scopes": ["reed"] }),
                "\"scopes[0]\" must be one of read, send, manage",
            ),
            (
                keys,
                json!({ "device": 1, "version": "2", "identity_key": "", "signed_prekey": { "idd": 1 }, "prekeys": [] }),
                "unknown field \"signed_prekey.idd\"; did you mean \"id\"?",
            ),
        ] {
            assert_eq!(check(schema, &body, "").unwrap_err(), told, "{body}");
        }
        let fine = json!({ "to": "bob", "content": "x", "encryption_type": null, "id": null });
        assert_eq!(check(send, &fine, ""), Ok(()));
    }

    #[test]
    fn what_is_wrong_with_a_query_is_told_in_a_sentence() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let history = operation("GET", "/api/message/history");
        let events = operation("GET", "/api/events");
        let roster = operation("GET", "/api/roster");
        for (operation, query, told) in [
            (
                history,
                &[("usr", "bob")][..],
                "unknown parameter \"usr\"; did you mean \"user\"?",
            ),
            (history, &[], "the parameter \"user\" is required"),
            (
                history,
                &[("user", "bob"), ("user", "carol")],
                "the parameter \"user\" must be given only once",
            ),
            (
                history,
                &[("user", "bob"), ("limit", "101")],
                "\"limit\" must be a whole number from 1 to 100",
            ),
            (
                events,
                &[("presence", "yes")],
                "\"presence\" must be true or false",
            ),
            (
                events,
                &[("room", "a"); 9],
                "\"room\" must be a list of at most 8 items",
            ),
            (
                roster,
                &[("x", "y")],
                "unknown parameter \"x\"; there are no parameters here",
            ),
        ] {
            assert_eq!(
                operation.check_query(&pairs(query)).unwrap_err(),
                told,
                "{query:?}"
            );
        }
        let fine = pairs(&[("room", "a"), ("presence", "true"), ("room", "b")]);
        assert_eq!(events.check_query(&fine), Ok(()));
    }

    #[test]
    fn every_object_that_can_be_sent_is_closed() {
        for (place, operation) in &DOCUMENT.operations {
            let mut open = Vec::new();
            operation
                .body
                .iter()
                .for_each(|schema| find_open(schema, &mut open));
            assert!(open.is_empty(), "{place:?}: {open:?}");
        }
    }

    /// The document says that unknown fields are refused, wherever there is an object.
    fn find_open(schema: &Value, open: &mut Vec<String>) {
        let schema = DOCUMENT.resolved(schema);
        if schema["type"] == "object" && schema["additionalProperties"] != false {
            open.push(schema.to_string());
        }
        for inner in schema["properties"].as_object().into_iter().flatten() {
            find_open(inner.1, open);
        }
        if schema["items"].is_object() {
            find_open(&schema["items"], open);
        }
    }
}
