//! Lists: `--format` as every listing verb has it (`table`, `table TEMPLATE`, `json`, `raw`, a template).

use super::table;
use super::template::{Data, Error, Template};
use crate::api::docker::schema::{Shape, Struct};
use serde_json::Value;

/// One row: its fields, and the map behind `.Label "key"`.
pub(crate) struct Row {
    /// An object; what `json` prints.
    pub(crate) fields: Value,
    /// For `.Label`.
    pub(crate) labels: Value,
}

/// Columns of a list.
pub(crate) struct Columns {
    /// Docker's name of a row's type, for errors.
    pub(crate) row: &'static Struct,
    /// Fields and the titles of their columns.
    pub(crate) titles: &'static [(&'static str, &'static str)],
    /// The fields of the ordinary table.
    pub(crate) shown: Vec<&'static str>,
    /// Lines of `raw`: a title and its field; empty for verbs that have no such form.
    pub(crate) raw: Vec<(&'static str, &'static str)>,
}

/// The whole text for standard output.
pub(crate) fn render(columns: &Columns, format: Option<&str>, rows: Vec<Row>) -> Result<String, Error> {
    let format = format.filter(|f| !f.is_empty()).unwrap_or("table");
    if format == "json" {
        return Ok(rows.iter().map(|row| format!("{}\n", row.fields)).collect());
    }
    if format == "raw" && !columns.raw.is_empty() {
        return Ok(rows.iter().map(|row| raw(columns, row)).collect());
    }
    let (is_table, text) = match format.strip_prefix("table") {
        Some("") => (true, shown(columns)),
        Some(text) if text.starts_with([' ', '\t']) => (true, text.trim_start().to_owned()),
        _ => (false, format.to_owned()),
    };
    let template = Template::parse(&text)?;
    let mut out = String::new();
    if is_table {
        let titles: serde_json::Map<String, Value> =
            columns.titles.iter().map(|(field, title)| ((*field).to_owned(), (*title).into())).collect();
        out.push_str(&template.header(&titles.into())?);
        out.push('\n');
    }
    for row in rows {
        out.push_str(&template.render(&Data::row(&row.fields, Shape::Struct(columns.row), row.labels))?);
        out.push('\n');
    }
    Ok(if is_table { table::align(&out) } else { out })
}

/// A line for each field, and an empty one.
fn raw(columns: &Columns, row: &Row) -> String {
    let mut out = String::new();
    for (title, field) in &columns.raw {
        let value = row.fields[*field].as_str().unwrap_or_default();
        out.push_str(format!("{title}: {value}").trim_end());
        out.push('\n');
    }
    out + "\n"
}

fn shown(columns: &Columns) -> String {
    let fields: Vec<String> = columns.shown.iter().map(|field| format!("{{{{.{field}}}}}")).collect();
    fields.join("\t")
}

/// `a=1,b=2`
pub(crate) fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROW: Struct = Struct { name: "test.Row", fields: &[] };
    #[test]
    fn every_form() {
        let rows = || {
            vec![
                Row { fields: json!({"ID": "abc", "Names": "web"}), labels: json!({"team": "x"}) },
                Row { fields: json!({"ID": "def", "Names": "a longer name"}), labels: json!({}) },
            ]
        };
        let columns = || Columns {
            row: &ROW,
            titles: &[("ID", "CONTAINER ID"), ("Names", "NAMES")],
            shown: vec!["ID", "Names"],
            raw: vec![("container_id", "ID"), ("names", "Names"), ("ports", "Ports")],
        };
        let table = "CONTAINER ID   NAMES\nabc            web\ndef            a longer name\n";
        let cases = [
            (None, table),
            (Some("table"), table),
            (
                Some("json"),
                "{\"ID\":\"abc\",\"Names\":\"web\"}\n{\"ID\":\"def\",\"Names\":\"a longer name\"}\n",
            ),
            (
                Some("raw"),
                "container_id: abc\nnames: web\nports:\n\ncontainer_id: def\nnames: a longer name\nports:\n\n",
            ),
            (Some("{{.ID}}: {{.Names}}"), "abc: web\ndef: a longer name\n"),
            (
                Some("{{json .}}"),
                "{\"ID\":\"abc\",\"Names\":\"web\"}\n{\"ID\":\"def\",\"Names\":\"a longer name\"}\n",
            ),
            (
                Some(r#"table {{.Names}}\t{{.Label "team"}}"#),
                "NAMES           team\nweb             x\na longer name   \n",
            ),
        ];
        for (format, expected) in cases {
            assert_eq!(render(&columns(), format, rows()).unwrap(), expected, "{format:?}");
        }
        assert_eq!(render(&columns(), None, Vec::new()).unwrap(), "CONTAINER ID   NAMES\n");
        assert!(render(&columns(), Some("{{.Nope}}"), rows()).is_err());
    }
}
