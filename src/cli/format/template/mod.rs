//! Go templates with Docker's functions: the one place that knows the template engine.

mod functions;
mod tree;
mod value;

pub(crate) use value::Data;

use crate::cli::error::{CommandError, Kind};
use gotmpl::parse::{DefineNode, ListNode, Parser};
use gotmpl::{TemplateError, Value as GoValue};
use serde_json::Value;

/// Why a template gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The text is no template.
    #[error("template parsing error: {0}")]
    Parse(String),
    /// The template asks for something that is not there.
    #[error("template parsing error: {0}")]
    Execute(String),
}

/// A text that is no template ends commands with a code of its own.
impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        let kind = if matches!(error, Error::Parse(_)) { Kind::Template } else { Kind::Failed };
        Self::new(kind, error)
    }
}

/// A parsed template.
pub(crate) struct Template {
    tree: ListNode,
    defines: Vec<DefineNode>,
}

/// The template engine's name for a whole template.
const MAIN: &str = "";

impl Template {
    /// Checks the text; `\t` and `\n` in it are a tab and a new line.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        // Only a whole template has its blocks checked.
        gotmpl::Template::new(MAIN).parse(&text).map_err(|e| parse_error(&e))?;
        let parser = Parser::new(&text, "{{", "}}").and_then(Parser::parse);
        let (mut tree, mut defines) = parser.map_err(|e| parse_error(&e))?;
        let mut rewrite = tree::Rewrite { text: &text, called: Vec::new() };
        rewrite.list(&mut tree);
        defines.iter_mut().for_each(|define| rewrite.list(&mut define.body));
        match rewrite.called.iter().find(|name| !functions::exists(name)) {
            Some(name) => {
                Err(Error::Parse(format!("template: :1: function {:?} not defined", name.as_str())))
            }
            None => Ok(Self { tree, defines }),
        }
    }

    /// One row or document.
    pub(crate) fn render(&self, data: &Data) -> Result<String, Error> {
        self.execute(&data.root, functions::of(&data.known))
    }

    /// A table's header: `names` are the columns' titles; functions hand their argument through.
    pub(crate) fn header(&self, names: &Value) -> Result<String, Error> {
        let data = Data::new(names, crate::api::docker::schema::Shape::Any);
        self.execute(&data.root, functions::of_header())
    }

    fn execute(&self, data: &GoValue, functions: gotmpl::FuncMap) -> Result<String, Error> {
        let mut template =
            gotmpl::Template::new(MAIN).funcs(functions).add_parse_tree(MAIN, self.tree.clone());
        for define in &self.defines {
            template = template.add_parse_tree(&define.name, define.body.clone());
        }
        template.execute_template_to_string(MAIN, data).map_err(|e| match e {
            TemplateError::Exec(words) => Error::Execute(words),
            other => Error::Execute(other.to_string()),
        })
    }
}

/// Go has the template's name there, which is empty, and no column.
fn parse_error(error: &TemplateError) -> Error {
    Error::Parse(match error {
        TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
            format!("template: :{line}: {message}")
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests;
