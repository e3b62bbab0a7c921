use super::*;
use crate::api::docker::schema::{Field, Shape, Struct};
use serde_json::json;

/// A small document: `Id` is `ID` in Go, `Health` and `Note` may be omitted.
const SHAPE: Shape = Shape::Struct(&Struct {
    name: "test.Document",
    fields: &[
        Field { key: "Id", name: "ID", shape: Shape::Text },
        Field { key: "State", name: "State", shape: Shape::Struct(&STATE) },
        Field { key: "Config", name: "Config", shape: Shape::Pointer(&Shape::Struct(&CONFIG)) },
        Field { key: "Size", name: "Size", shape: Shape::Pointer(&Shape::Number) },
    ],
});
const STATE: Struct = Struct {
    name: "test.State",
    fields: &[
        Field { key: "Status", name: "Status", shape: Shape::Text },
        Field { key: "Running", name: "Running", shape: Shape::Bool },
        Field { key: "ExitCode", name: "ExitCode", shape: Shape::Number },
        Field { key: "Health", name: "Health", shape: Shape::Pointer(&Shape::Struct(&HEALTH)) },
    ],
};
const HEALTH: Struct =
    Struct { name: "test.Health", fields: &[Field { key: "Status", name: "Status", shape: Shape::Text }] };
const CONFIG: Struct = Struct {
    name: "test.Config",
    fields: &[
        Field { key: "Labels", name: "Labels", shape: Shape::Map(&Shape::Text) },
        Field { key: "Env", name: "Env", shape: Shape::List(&Shape::Text) },
        Field { key: "Cmd", name: "Cmd", shape: Shape::List(&Shape::Text) },
        Field { key: "Note", name: "Note", shape: Shape::Text },
        Field {
            key: "Ports",
            name: "Ports",
            shape: Shape::Map(&Shape::Struct(&Struct { name: "", fields: &[] })),
        },
    ],
};

fn document() -> Value {
    json!({
        "Id": "/web", "State": {"Status": "running", "Running": true, "ExitCode": 0},
        "Config": {"Labels": {"a.b": "c", "x": "y"}, "Env": ["A=1", "B=2"], "Cmd": null, "Ports": {"80/tcp": {}}},
    })
}

fn render(template: &str) -> Result<String, String> {
    let data = Data::inspected(&document(), SHAPE);
    Template::parse(template).and_then(|t| t.render(&data)).map_err(|e| e.to_string())
}

#[test]
fn dockers_functions() {
    let cases = [
        ("{{.Id}}", "/web"),
        ("{{.State.ExitCode}}\\t{{.State.Running}}\\n", "0\ttrue\n"),
        ("{{json .State}}", r#"{"Status":"running","Running":true,"ExitCode":0}"#),
        ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
        ("{{json .Config.Cmd}} {{.Config.Cmd | json}}", "null null"),
        ("{{join .Config.Env \",\"}}", "A=1,B=2"),
        ("{{index (split .Id \"w\") 1}}", "eb"),
        ("{{upper .Id}} {{lower \"ABC\"}} {{title \"some words\"}}", "/WEB abc Some Words"),
        ("[{{pad \"x\" 1 2}}] {{truncate .Id 3}}", "[ x  ] /we"),
        ("{{index .Config.Labels \"a.b\"}}[{{index .Config.Labels \"none\"}}]", "c[]"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a.b=c;x=y;"),
        ("{{if eq .State.Status \"running\"}}yes{{else}}no{{end}}", "yes"),
        ("{{printf \"%.3s|%d\" .State.Status .State.ExitCode}}", "run|0"),
        ("{{len .Config.Env}} {{.Id | upper}} {{.State.Status | printf \"%q\"}}", "2 /WEB \"running\""),
        ("{{with .State}}{{.Status}} {{$.Id}}{{end}}", "running /web"),
        ("{{$s := .State}}{{$s.Status}} {{(index .Config.Env 0)}} {{(.State).Running}}", "running A=1 true"),
        ("{{define \"x\"}}<{{.Status}}>{{end}}{{template \"x\" .State}}", "<running>"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
    }
    assert_eq!(render("{{json .}}").unwrap(), document().to_string());
}

#[test]
fn what_is_omitted_is_zero() {
    let cases = [
        ("{{if .State.Health}}x{{else}}none{{end}}", "none"),
        ("{{.State.Health}} {{.Size}}", "<nil> <nil>"),
        ("{{json .State.Health}} {{json .Size}} {{json .Config.Note}}", "null null \"\""),
        ("[{{.Config.Note}}] {{eq .Config.Note \"\"}}", "[] true"),
        ("{{.Config.Cmd}} {{len .Config.Cmd}}", "[] 0"),
        ("{{range .Config.Cmd}}x{{else}}nothing{{end}}", "nothing"),
        // By both names, also beside what is omitted.
        ("{{.ID}} {{.Id}} {{with .State.Health}}{{.Status}}{{end}}", "/web /web "),
        // Keys of maps are the user's.
        ("{{.Config.Labels.none}} {{if .Config.Labels.none}}x{{end}}", "<no value> "),
        ("{{.Config.Labels.x}}", "y"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn structs_are_printed_as_in_go() {
    let cases = [
        ("{{.State}}", "{running true 0 <nil>}"),
        ("{{.Config.Labels}}", "map[a.b:c x:y]"),
        ("{{.Config.Ports}}", "map[80/tcp:{}]"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn errors() {
    let cases = [
        ("{{.Foo}}", "template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        (
            "a\n {{.State.Foo}}",
            "template: :2:9: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\"",
        ),
        ("{{.Nope.Nope}}", "at <.Nope.Nope>: map has no entry for key \"Nope\""),
        ("{{.State.Health.Status}}", "at <.State.Health.Status>: map has no entry for key \"Health\""),
        ("{{.Id.Foo}}", "at <.Id.Foo>: can't evaluate field Foo in type string"),
        (
            "{{if false}}{{nope}}{{end}}",
            "template parsing error: template: :1: function \"nope\" not defined",
        ),
        ("{{.Foo", "template parsing error: template: :1: unclosed action"),
        ("{{.Label \"x\"}}", "Label has arguments but cannot be invoked as function"),
    ];
    for (template, part) in cases {
        let error = render(template).unwrap_err();
        assert!(error.contains(part), "{template}: {error}");
    }
    let data = Data::new(&document(), SHAPE);
    let render = |text: &str| Template::parse(text).unwrap().render(&data).unwrap_err().to_string();
    assert!(render("{{.Foo}}").ends_with("<.Foo>: can't evaluate field Foo in type test.Document"));
    assert!(render("{{.State.Foo}}").ends_with("can't evaluate field Foo in type test.State"));
    assert!(render("{{.State.Health.Status}}").ends_with("nil pointer evaluating Health.Status"));
}

#[test]
fn rows() {
    let shape = Shape::Struct(&Struct { name: "test.Row", fields: &[] });
    let data = Data::row(&json!({"B": "x", "A": 2}), shape, json!({"k": "v"}));
    let render = |text: &str| Template::parse(text).unwrap().render(&data).map_err(|e| e.to_string());
    assert_eq!(render("{{.B}}{{.A}}").unwrap(), "x2");
    assert_eq!(render("{{.Label \"k\"}}{{.Label \"none\"}}{{upper (.Label `k`)}}").unwrap(), "vV");
    assert_eq!(render("{{json .}}").unwrap(), r#"{"B":"x","A":2}"#);
    assert!(render("{{.C}}").unwrap_err().ends_with("can't evaluate field C in type test.Row"));
}

#[test]
fn headers() {
    let names = json!({"ID": "CONTAINER ID", "Names": "NAMES"});
    let header = |text: &str| Template::parse(text).unwrap().header(&names).unwrap();
    assert_eq!(header("{{.ID}}\\t{{upper .Names}}\\t{{.Other}}"), "CONTAINER ID\tNAMES\t");
    assert_eq!(header("{{.Label \"team\"}}"), "team");
}
