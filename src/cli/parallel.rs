//! Work on many names: at most fifty at a time, answers in the order of the arguments, failures at the end.

use super::error::{CommandError, Outcome};
use super::ui::Ui;
use futures::StreamExt;

const AT_ONCE: usize = 50;

/// Runs `work` for each name and prints what it answers, as soon as all before it have answered.
pub(crate) async fn each<F, Fut>(ui: &Ui, names: &[String], work: F) -> Outcome
where
    F: Fn(String) -> Fut,
    Fut: Future<Output = Result<Option<String>, CommandError>>,
{
    let mut failures = Vec::new();
    let mut answers =
        std::pin::pin!(futures::stream::iter(names.iter().cloned()).map(work).buffered(AT_ONCE));
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(Some(line)) => ui.line(&line)?,
            Ok(None) => {}
            Err(error) => failures.push(error.to_string()),
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CommandError::failed(failures.join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ui::{Terminals, tests::Buffer};
    use std::time::Duration;

    #[tokio::test]
    async fn in_the_order_of_the_arguments() {
        let out = Buffer::default();
        let ui = Ui::new(Box::new(out.clone()), Box::new(Buffer::default()), Terminals::default());
        let names = ["slow", "bad", "quick", "silent", "worse"].map(String::from);
        let outcome = each(&ui, &names, |name| async move {
            match name.as_str() {
                "slow" => tokio::time::sleep(Duration::from_millis(20)).await,
                "bad" | "worse" => return Err(CommandError::failed(format!("{name}!"))),
                "silent" => return Ok(None),
                _ => {}
            }
            Ok(Some(name))
        })
        .await;
        assert_eq!(out.text(), "slow\nquick\n");
        assert_eq!(outcome.unwrap_err().render("k3c").unwrap(), "bad!\nworse!");
    }
}
