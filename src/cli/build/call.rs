//! `--call`: questions to the frontend.

use crate::builder::Answer;
use crate::cli::error::{CommandError, Outcome};
use crate::cli::options::{csv, value};
use crate::cli::ui::Ui;
use serde_json::Value;

/// A value of the flag; `build` is no question.
#[derive(Clone, Debug)]
pub(super) struct Call(pub(super) Option<Question>);

/// A question to the frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The frontend's name of it.
    pub(super) name: String,
    json: bool,
    /// What a check finds is no failure.
    lenient: bool,
}

/// `name[,format=json][,ignorestatus=true]`
pub(super) fn parse(text: &str) -> Result<Call, String> {
    let mut question = Question { name: String::new(), json: false, lenient: false };
    for field in csv::fields(text)? {
        match field.split_once('=') {
            Some(("format", format)) => match format {
                "json" => question.json = true,
                "text" | "txt" | "" => question.json = false,
                _ => return Err(format!("invalid print field: {field}")),
            },
            Some(("ignorestatus", on)) => {
                question.lenient =
                    value::boolean(on).ok_or(format!("invalid ignorestatus print value: {on}"))?;
            }
            Some(_) => return Err(format!("invalid print field: {field}")),
            None if question.name.is_empty() => question.name = field,
            None => return Err(format!("invalid print value: {text}")),
        }
    }
    Ok(Call(match question.name.as_str() {
        "" | "build" => None,
        "check" => Some(Question { name: "lint".to_owned(), ..question }),
        _ => Some(question),
    }))
}

impl Question {
    /// The linter's.
    pub(super) fn check() -> Self {
        Self { name: "lint".to_owned(), json: false, lenient: false }
    }

    /// Shows the answer, and fails with its code.
    pub(super) fn show(&self, answer: &Answer, ui: &Ui) -> Outcome {
        if self.json {
            ui.line(answer.json.trim_end())?;
        } else {
            if self.name == "lint" {
                ui.line(&found(&answer.json))?;
            }
            ui.data(answer.text.as_bytes())?;
        }
        match answer.code {
            0 => Ok(()),
            _ if self.lenient => Ok(()),
            code => Err(CommandError::exit(code)),
        }
    }
}

/// How many warnings a check has found.
fn found(json: &str) -> String {
    let findings: Value = serde_json::from_str(json).unwrap_or_default();
    match findings["warnings"].as_array().map_or(0, Vec::len) {
        0 => "Check complete, no warnings found.".to_owned(),
        1 => "Check complete, 1 warning has been found!".to_owned(),
        more => format!("Check complete, {more} warnings have been found!"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings() {
        assert_eq!(found("{}"), "Check complete, no warnings found.");
        assert_eq!(found(r#"{"warnings":[{},{}]}"#), "Check complete, 2 warnings have been found!");
    }

    #[test]
    fn questions() {
        let question = |name: &str, json, lenient| Some(Question { name: name.to_owned(), json, lenient });
        for (text, expected) in [
            ("build", None),
            ("check", question("lint", false, false)),
            ("outline,format=json", question("outline", true, false)),
            ("lint,ignorestatus=1", question("lint", false, true)),
        ] {
            assert_eq!(parse(text).unwrap().0, expected, "{text}");
        }
        for text in ["outline,x=1", "outline,targets", "lint,format=x", "lint,ignorestatus=x"] {
            assert!(parse(text).unwrap_err().contains("invalid"), "{text}");
        }
    }
}
