//! Instructions of a Dockerfile that change nothing but an image's configuration, as `commit --change` takes them.

use crate::engine::error::EngineError;
use serde_json::{Value, json};

/// Applies one instruction to the `config` object of an image's configuration.
///
/// # Errors
/// `InvalidArgument`: another instruction, or one without arguments.
pub(super) fn apply(config: &mut Value, line: &str) -> Result<(), EngineError> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (word, rest) = (word.to_ascii_uppercase(), rest.trim());
    if rest.is_empty() {
        return Err(EngineError::invalid(format!("{word} requires at least one argument")));
    }
    match word.as_str() {
        "CMD" => config["Cmd"] = command(rest),
        "ENTRYPOINT" => config["Entrypoint"] = command(rest),
        "USER" => config["User"] = json!(rest),
        "STOPSIGNAL" => {
            crate::model::signal::parse(rest)?;
            config["StopSignal"] = json!(rest);
        }
        "WORKDIR" => config["WorkingDir"] = json!(below(config["WorkingDir"].as_str(), rest)),
        "ENV" => config["Env"] = environment(&config["Env"], rest),
        "LABEL" => {
            for (key, value) in pairs(rest) {
                config["Labels"][key] = json!(value);
            }
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
                config["ExposedPorts"][port] = json!({});
            }
        }
        "VOLUME" => {
            let folders = list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            for folder in folders {
                config["Volumes"][folder] = json!({});
            }
        }
        "ONBUILD" => match config["OnBuild"].as_array_mut() {
            Some(all) => all.push(json!(rest)),
            None => config["OnBuild"] = json!([rest]),
        },
        "HEALTHCHECK" => config["Healthcheck"] = json!({ "Test": health_test(rest)? }),
        other => {
            return Err(EngineError::invalid(format!("{other} is not a valid change command")));
        }
    }
    Ok(())
}

/// A list in JSON, if the text is one.
fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// A command: a list in JSON, or a line for the shell.
fn command(text: &str) -> Value {
    json!(list(text).unwrap_or_else(|| ["/bin/sh", "-c", text].map(str::to_owned).into()))
}

/// A working directory, which may be relative to the one before.
fn below(before: Option<&str>, dir: &str) -> String {
    let before = before.filter(|d| !d.is_empty()).unwrap_or("/");
    match dir.starts_with('/') {
        true => dir.to_owned(),
        false => format!("{}/{dir}", before.trim_end_matches('/')),
    }
}

/// The variables of an `Env` list with those of the text set.
fn environment(before: &Value, text: &str) -> Value {
    let before = before.as_array().into_iter().flatten();
    let mut env: Vec<String> = before.filter_map(|e| e.as_str().map(str::to_owned)).collect();
    for (key, value) in pairs(text) {
        env.retain(|e| e.split('=').next() != Some(&key));
        env.push(format!("{key}={value}"));
    }
    json!(env)
}

/// The `Test` of a health check: `NONE`, or `CMD` with a command.
fn health_test(text: &str) -> Result<Value, EngineError> {
    match text.split_once(char::is_whitespace) {
        None if text.eq_ignore_ascii_case("NONE") => Ok(json!(["NONE"])),
        Some((kind, test)) if kind.eq_ignore_ascii_case("CMD") => Ok(match list(test.trim()) {
            Some(list) => json!([vec!["CMD".to_owned()], list].concat()),
            None => json!(["CMD-SHELL", test.trim()]),
        }),
        _ => Err(EngineError::invalid(format!("unknown type in HEALTHCHECK: {text}"))),
    }
}

/// `KEY=VALUE ...`, or one `KEY VALUE` in which the value may have spaces.
fn pairs(text: &str) -> Vec<(String, String)> {
    let words = words(text);
    match words.iter().all(|w| w.contains('=')) {
        true => words.iter().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect(),
        false => {
            let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            vec![(key.to_owned(), value.trim().to_owned())]
        }
    }
}

/// Words between spaces; one in quotes may have spaces in it.
fn words(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        let Some(last) = all.last_mut() else { break };
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => {
                if !last.is_empty() {
                    all.push(String::new());
                }
            }
            (c, _) => last.push(c),
        }
    }
    all.retain(|w| !w.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions() {
        let mut config = json!({"Env": ["A=1"], "WorkingDir": "/w"});
        for line in [
            "CMD [\"a\", \"b\"]",
            "entrypoint run it",
            "ENV A=2 B=\"x y\"",
            "ENV C three words",
            "LABEL k=v",
            "EXPOSE 80 53/udp",
            "WORKDIR sub",
            "VOLUME /data",
            "HEALTHCHECK CMD true",
        ] {
            apply(&mut config, line).unwrap();
        }
        assert_eq!(
            config,
            json!({
                "Env": ["A=2", "B=x y", "C=three words"],
                "WorkingDir": "/w/sub",
                "Cmd": ["a", "b"],
                "Entrypoint": ["/bin/sh", "-c", "run it"],
                "Labels": {"k": "v"},
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
                "Volumes": {"/data": {}},
                "Healthcheck": {"Test": ["CMD-SHELL", "true"]},
            })
        );
        assert!(apply(&mut config, "RUN x").unwrap_err().to_string().contains("not a valid change command"));
        assert!(apply(&mut config, "CMD").is_err());
    }
}
