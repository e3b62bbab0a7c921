//! Go templates with Docker's functions: the one place that knows the template engine.

use crate::cli::error::{CommandError, Kind};
use gotmpl::{MissingKey, TemplateError, Value as GoValue};
use regex::Regex;
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// Why a template gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is no template.
    #[error("template parsing error: {0}")]
    Parse(String),
    /// It asks for something that is not there.
    #[error("template parsing error: {0}")]
    Execute(String),
}

/// What is no template ends commands with a code of its own.
impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        let kind = if matches!(error, Error::Parse(_)) { Kind::Template } else { Kind::Failed };
        Self::new(kind, error)
    }
}

/// A parsed template.
pub(crate) struct Template {
    text: String,
}

/// Keys whose values are maps of the user's own keys: what is missing there is no error.
const OPEN_MAPS: [&str; 7] =
    ["Labels", "Ports", "Networks", "Volumes", "ExposedPorts", "Options", "Attributes"];

impl Template {
    /// Checks the text; `\t` and `\n` in it are a tab and a new line.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        static LABEL: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r#"\.Label\s+("[^"]*"|`[^`]*`)"#).ok());
        let unescaped = text.replace("\\t", "\t").replace("\\n", "\n");
        // The engine has no methods; `.Label "key"` is the one that Docker's rows have.
        let text = match LABEL.as_ref() {
            Some(label) => label.replace_all(&unescaped, "index .__Label $1").into_owned(),
            None => unescaped,
        };
        gotmpl::Template::new("").parse(&text).map_err(|e| {
            // Go has the template's name there, which is empty, and no column.
            let words = match e {
                TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
                    format!("template: :{line}: {message}")
                }
                other => other.to_string(),
            };
            Error::Parse(words)
        })?;
        Ok(Self { text })
    }

    /// One row or document.
    pub(crate) fn render(&self, data: &Data) -> Result<String, Error> {
        let first = self.execute(data, functions(data.document.clone()), MissingKey::Error);
        match first {
            Err(TemplateError::MissingKey { key })
                if OPEN_MAPS.iter().any(|map| self.text.contains(&format!(".{map}.{key}"))) =>
            {
                self.execute(data, functions(data.document.clone()), MissingKey::Invalid)
            }
            other => other,
        }
        .map_err(|e| match e {
            TemplateError::UndefinedFunction(name) => {
                Error::Parse(format!("template: :1: function {name:?} not defined"))
            }
            TemplateError::MissingKey { key } => Error::Execute(format!(
                "template: :1: executing \"\" at <.{key}>: map has no entry for key {key:?}"
            )),
            other => Error::Execute(other.to_string()),
        })
    }

    /// A table's header: `names` are the columns' titles; functions hand their argument through.
    pub(crate) fn header(&self, names: &Data) -> Result<String, Error> {
        self.execute(names, header_functions(), MissingKey::Invalid)
            .map(|line| line.replace("<no value>", ""))
            .map_err(|e| Error::Execute(e.to_string()))
    }

    fn execute(
        &self,
        data: &Data,
        functions: gotmpl::FuncMap,
        missing: MissingKey,
    ) -> Result<String, TemplateError> {
        gotmpl::Template::new("")
            .missing_key(missing)
            .funcs(functions)
            .parse(&self.text)?
            .execute_to_string(&data.value)
    }
}

/// What a template sees.
pub(crate) struct Data {
    document: Arc<Value>,
    value: GoValue,
}

impl Data {
    /// A document, as its JSON.
    pub(crate) fn new(document: Value) -> Self {
        let value = to_go(&document);
        Self { document: Arc::new(document), value }
    }

    /// A document with more keys for templates than its JSON has (objects are merged).
    pub(crate) fn with(document: Value, more: &Value) -> Self {
        let mut seen = document.clone();
        merge(&mut seen, more);
        Self { document: Arc::new(document), value: to_go(&seen) }
    }
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn to_go(value: &Value) -> GoValue {
    match value {
        Value::Null => GoValue::Nil,
        Value::Bool(b) => GoValue::Bool(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => GoValue::Int(n),
            (None, Some(n)) => GoValue::Uint(n),
            (None, None) => GoValue::Float(n.as_f64().unwrap_or_default()),
        },
        Value::String(s) => GoValue::String(s.as_str().into()),
        Value::Array(items) => GoValue::List(items.iter().map(to_go).collect()),
        Value::Object(map) => {
            GoValue::Map(Arc::new(map.iter().map(|(k, v)| (k.as_str().into(), to_go(v))).collect()))
        }
    }
}

fn from_go(value: &GoValue) -> Value {
    match value {
        GoValue::Nil | GoValue::Function(_) => Value::Null,
        GoValue::Bool(b) => (*b).into(),
        GoValue::Int(n) => (*n).into(),
        GoValue::Uint(n) => (*n).into(),
        GoValue::Float(n) => (*n).into(),
        GoValue::String(s) => s.as_ref().into(),
        GoValue::List(items) => items.iter().map(from_go).collect(),
        GoValue::Map(map) => map
            .iter()
            .map(|(key, value)| (key.to_string(), from_go(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// The part of `document` that equals `value`, with its keys in their own order (the engine sorts them).
fn ordered<'a>(document: &'a Value, value: &Value) -> Option<&'a Value> {
    if document == value {
        return Some(document);
    }
    match document {
        Value::Object(map) => map.values().find_map(|inner| ordered(inner, value)),
        Value::Array(items) => items.iter().find_map(|inner| ordered(inner, value)),
        _ => None,
    }
}

type Args<'a> = &'a [GoValue];
type GoResult = Result<GoValue, TemplateError>;

fn text(args: Args<'_>, index: usize) -> String {
    args.get(index).map(ToString::to_string).unwrap_or_default()
}

fn number(args: Args<'_>, index: usize) -> usize {
    args.get(index).and_then(GoValue::as_int).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

fn function(f: impl Fn(Args<'_>) -> GoResult + Send + Sync + 'static) -> gotmpl::ValueFunc {
    Arc::new(f)
}

fn string(text: impl Into<Arc<str>>) -> GoResult {
    Ok(GoValue::String(text.into()))
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .flat_map(|c| {
            let upper = std::mem::replace(&mut start, !c.is_alphanumeric() && c != '\'');
            let c: Vec<char> = if upper { c.to_uppercase().collect() } else { vec![c] };
            c
        })
        .collect()
}

fn functions(document: Arc<Value>) -> gotmpl::FuncMap {
    let mut map = gotmpl::FuncMap::new();
    map.insert(
        "json".to_owned(),
        function(move |args| {
            let mut value = args.first().map_or(Value::Null, from_go);
            if args.first().is_some_and(|v| v.field("__Root").is_some()) {
                value = document.as_ref().clone();
            }
            string(ordered(&document, &value).unwrap_or(&value).to_string())
        }),
    );
    map.insert(
        "split".to_owned(),
        function(|args| {
            let (text, separator) = (text(args, 0), text(args, 1));
            let parts: Vec<GoValue> = match separator.is_empty() {
                true => text.chars().map(|c| GoValue::String(c.to_string().into())).collect(),
                false => text.split(&separator).map(|part| GoValue::String(part.into())).collect(),
            };
            Ok(GoValue::List(parts.into()))
        }),
    );
    map.insert(
        "join".to_owned(),
        function(|args| match args.first() {
            Some(GoValue::List(items)) => {
                let parts: Vec<String> = items.iter().map(ToString::to_string).collect();
                string(parts.join(&text(args, 1)))
            }
            Some(GoValue::Nil) | None => string(""),
            Some(_) => Err(TemplateError::Exec("join: expected a list".to_owned())),
        }),
    );
    map.insert("title".to_owned(), function(|args| string(title(&text(args, 0)))));
    map.insert("lower".to_owned(), function(|args| string(text(args, 0).to_lowercase())));
    map.insert("upper".to_owned(), function(|args| string(text(args, 0).to_uppercase())));
    map.insert(
        "pad".to_owned(),
        function(|args| match text(args, 0) {
            empty if empty.is_empty() => string(""),
            text => string(format!("{}{text}{}", " ".repeat(number(args, 1)), " ".repeat(number(args, 2)))),
        }),
    );
    map.insert(
        "truncate".to_owned(),
        function(|args| string(text(args, 0).chars().take(number(args, 1)).collect::<String>())),
    );
    // A key that a map of strings lacks is empty in Go, not an error and not `<no value>`.
    map.insert(
        "index".to_owned(),
        function(|args| {
            let mut value = args.first().cloned().unwrap_or(GoValue::Nil);
            for key in &args[1.min(args.len())..] {
                value = match (&value, key.as_str()) {
                    (GoValue::Nil, Some(_)) => GoValue::String("".into()),
                    (GoValue::Map(map), Some(key)) => {
                        map.get(key).cloned().unwrap_or_else(|| GoValue::String("".into()))
                    }
                    (value, _) => value.index(key)?,
                };
            }
            Ok(value)
        }),
    );
    map
}

fn header_functions() -> gotmpl::FuncMap {
    let mut map = gotmpl::FuncMap::new();
    for name in ["json", "split", "join", "title", "lower", "upper", "pad", "truncate"] {
        map.insert(name.to_owned(), function(|args| Ok(args.first().cloned().unwrap_or(GoValue::Nil))));
    }
    map.insert("index".to_owned(), function(|args| Ok(args.get(1).cloned().unwrap_or(GoValue::Nil))));
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str, document: Value) -> Result<String, String> {
        Template::parse(template).and_then(|t| t.render(&Data::new(document))).map_err(|e| e.to_string())
    }

    #[test]
    fn dockers_functions() {
        let document = json!({
            "Name": "/web", "State": {"Status": "running", "Running": true, "ExitCode": 0},
            "Config": {"Labels": {"a.b": "c"}, "Env": ["A=1", "B=2"]}, "Empty": {}, "None": null,
        });
        let cases = [
            ("{{.Name}}", "/web"),
            ("{{.State.ExitCode}}\\t{{.State.Running}}\\n", "0\ttrue\n"),
            ("{{json .State}}", r#"{"Status":"running","Running":true,"ExitCode":0}"#),
            ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
            ("{{json .None}}", "null"),
            ("{{join .Config.Env \",\"}}", "A=1,B=2"),
            ("{{index (split .Name \"w\") 1}}", "eb"),
            ("{{upper .Name}} {{lower \"ABC\"}} {{title \"some words\"}}", "/WEB abc Some Words"),
            ("[{{pad \"x\" 1 2}}] {{truncate .Name 3}}", "[ x  ] /we"),
            ("{{index .Config.Labels \"a.b\"}}[{{index .Config.Labels \"none\"}}]", "c[]"),
            ("{{.Config.Labels.none}}", "<no value>"),
            ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
            ("{{if eq .State.Status \"running\"}}yes{{else}}no{{end}}", "yes"),
            ("{{printf \"%.3s|%d\" .State.Status .State.ExitCode}}", "run|0"),
            ("{{len .Config.Env}}", "2"),
        ];
        for (template, expected) in cases {
            assert_eq!(render(template, document.clone()).as_deref(), Ok(expected), "{template}");
        }
        assert_eq!(render("{{json .}}", document.clone()).unwrap(), document.to_string());
    }

    #[test]
    fn errors() {
        let cases = [
            ("{{.Foo}}", "map has no entry for key \"Foo\""),
            ("{{.Foo", "template parsing error: template: :1: unclosed action"),
            ("{{nope .A}}", "function \"nope\" not defined"),
        ];
        for (template, part) in cases {
            let error = render(template, json!({"A": 1})).unwrap_err();
            assert!(error.contains(part), "{template}: {error}");
        }
    }

    #[test]
    fn methods_and_extra_keys() {
        let data = Data::with(
            json!({"B": {"x": 1}, "A": 2}),
            &json!({"B": {"X": 1}, "__Label": {"k": "v"}, "__Root": true}),
        );
        let render = |text: &str| Template::parse(text).unwrap().render(&data).unwrap();
        assert_eq!(render("{{.B.X}}{{.A}}"), "12");
        assert_eq!(render("{{.Label \"k\"}}{{.Label \"none\"}}"), "v");
        assert_eq!(render("{{json .}}"), r#"{"B":{"x":1},"A":2}"#);
    }

    #[test]
    fn headers() {
        let names = Data::new(json!({"ID": "CONTAINER ID", "Names": "NAMES"}));
        let header = |text: &str| Template::parse(text).unwrap().header(&names).unwrap();
        assert_eq!(header("{{.ID}}\\t{{upper .Names}}\\t{{.Other}}"), "CONTAINER ID\tNAMES\t");
        assert_eq!(header("{{.Label \"team\"}}"), "team");
    }
}
