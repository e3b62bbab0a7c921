//! Functions of templates: Docker's, and those that [`super::tree`] puts in.

use super::value::Known;
use gotmpl::{TemplateError, Value as GoValue};
use std::sync::Arc;

/// A field: position and text for errors, what it is a field of, names.
pub(super) const FIELD: &str = "__field";
/// A method: as a field, then its arguments.
pub(super) const METHOD: &str = "__method";
/// The text of a value that is printed.
pub(super) const PRINT: &str = "__print";

/// Functions that Go has.
const BUILT_IN: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];
/// Functions that Docker adds.
const DOCKERS: [&str; 8] = ["json", "split", "join", "title", "lower", "upper", "pad", "truncate"];

type Args<'a> = &'a [GoValue];
type GoResult = Result<GoValue, TemplateError>;

/// Is there such a function?
pub(super) fn exists(name: &str) -> bool {
    BUILT_IN.contains(&name) || DOCKERS.contains(&name)
}

/// Functions for a document.
pub(super) fn of(known: &Known) -> gotmpl::FuncMap {
    let mut map = dockers();
    let known = || known.clone();
    let own = known();
    add(&mut map, "json", move |args| string(own.json(args.first().unwrap_or(&GoValue::Nil)).to_string()));
    let own = known();
    // A key that a map lacks is empty in Go, not an error and not `<no value>`.
    add(&mut map, "index", move |args| {
        let mut value = args.first().cloned().unwrap_or(GoValue::Nil);
        for key in &args[1.min(args.len())..] {
            value = match (&value, key.as_str()) {
                (GoValue::Nil, Some(_)) => GoValue::String("".into()),
                (GoValue::Map(_), Some(key)) => own.entry(&value, key),
                (value, _) => value.index(key)?,
            };
        }
        Ok(value)
    });
    let own = known();
    add(&mut map, FIELD, move |args| {
        let names: Vec<&str> = args[3..].iter().filter_map(GoValue::as_str).collect();
        own.fields(&args[2], &names).map_err(|words| lacks(args, &words))
    });
    let own = known();
    add(&mut map, METHOD, move |args| {
        own.method(&text(args, 3), &text(args, 4)).map_err(|words| lacks(args, &words))
    });
    let own = known();
    add(&mut map, PRINT, move |args| match args.first() {
        Some(value) => string(own.text(value)),
        None => string(""),
    });
    map
}

/// Functions for a table's header, where every function hands its argument through: titles stay titles.
pub(super) fn of_header() -> gotmpl::FuncMap {
    let mut map = gotmpl::FuncMap::new();
    for name in DOCKERS {
        add(&mut map, name, |args| Ok(args.first().cloned().unwrap_or(GoValue::Nil)));
    }
    add(&mut map, "index", |args| Ok(args.get(1).cloned().unwrap_or(GoValue::Nil)));
    add(&mut map, FIELD, |args| {
        let title = match args[3..] {
            [GoValue::String(ref name)] => args[2].field(name).cloned(),
            _ => None,
        };
        Ok(title.unwrap_or_else(|| GoValue::String("".into())))
    });
    // Labels have their own keys as titles.
    add(&mut map, METHOD, |args| Ok(args.get(4).cloned().unwrap_or(GoValue::Nil)));
    add(&mut map, PRINT, |args| Ok(args.first().cloned().unwrap_or_else(|| GoValue::String("".into()))));
    map
}

fn dockers() -> gotmpl::FuncMap {
    let mut map = gotmpl::FuncMap::new();
    add(&mut map, "split", |args| {
        let (text, separator) = (text(args, 0), text(args, 1));
        let parts: Vec<GoValue> = match separator.is_empty() {
            true => text.chars().map(|c| GoValue::String(c.to_string().into())).collect(),
            false => text.split(&separator).map(|part| GoValue::String(part.into())).collect(),
        };
        Ok(GoValue::List(parts.into()))
    });
    add(&mut map, "join", |args| match args.first() {
        Some(GoValue::List(items)) => {
            let parts: Vec<String> = items.iter().map(ToString::to_string).collect();
            string(parts.join(&text(args, 1)))
        }
        Some(GoValue::Nil) | None => string(""),
        Some(_) => Err(TemplateError::Exec("join: expected a list".to_owned())),
    });
    add(&mut map, "title", |args| string(title(&text(args, 0))));
    add(&mut map, "lower", |args| string(text(args, 0).to_lowercase()));
    add(&mut map, "upper", |args| string(text(args, 0).to_uppercase()));
    add(&mut map, "pad", |args| match text(args, 0) {
        empty if empty.is_empty() => string(""),
        text => string(format!("{}{text}{}", " ".repeat(number(args, 1)), " ".repeat(number(args, 2)))),
    });
    add(&mut map, "truncate", |args| string(text(args, 0).chars().take(number(args, 1)).collect::<String>()));
    map
}

fn add(map: &mut gotmpl::FuncMap, name: &str, f: impl Fn(Args<'_>) -> GoResult + Send + Sync + 'static) {
    map.insert(name.to_owned(), Arc::new(f));
}

/// Go's words for what a name is not there.
fn lacks(args: Args<'_>, words: &str) -> TemplateError {
    TemplateError::Exec(format!(
        "template: :{}: executing \"\" at <{}>: {words}",
        text(args, 0),
        text(args, 1)
    ))
}

fn text(args: Args<'_>, index: usize) -> String {
    args.get(index).map(ToString::to_string).unwrap_or_default()
}

fn number(args: Args<'_>, index: usize) -> usize {
    args.get(index).and_then(GoValue::as_int).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
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
