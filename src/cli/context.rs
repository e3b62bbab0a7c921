//! The context of a verb: output, signals, and the connection to the daemon.

use super::error::{CommandError, Kind};
use super::signals::Signals;
use super::ui::Ui;
use crate::client::{self, Address, Autostart, Client, ClientError};
use crate::config::{Dirs, env};
use crate::model::reason::Reason;
use tokio::sync::OnceCell;

/// The program's name in messages.
pub(crate) const PROGRAM: &str = "k3c";

/// The context of one invocation.
pub(crate) struct Context {
    /// Output: data and messages.
    pub(crate) ui: Ui,
    /// The signals of this process.
    pub(crate) signals: Signals,
    address: Option<String>,
    client: OnceCell<Client>,
}

impl Context {
    /// A context without a connection, which is made when it is first needed.
    pub(crate) fn new(ui: Ui, address: Option<String>) -> Self {
        Self { ui, signals: Signals::default(), address, client: OnceCell::new() }
    }

    /// The connection, made (and the daemon started) when first needed.
    pub(crate) async fn client(&self) -> Result<&Client, CommandError> {
        self.client
            .get_or_try_init(|| async {
                if let Some(text) = ignored(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty())) {
                    self.ui.warning(&text);
                }
                // An address that was given needs no directories of the user.
                let address = match Address::given(self.address.as_deref()) {
                    Some(given) => given.map_err(CommandError::failed)?,
                    None => Address::own(&Dirs::discover().map_err(CommandError::failed)?),
                };
                let tell = |text: &str| self.ui.message(text);
                let autostart = match std::env::var(env::AUTOSTART).as_deref() {
                    Ok("never") => Autostart::Never,
                    _ => Autostart::Allowed(&tell),
                };
                client::connect(&address, autostart).await.map_err(CommandError::failed)
            })
            .await
    }
}

/// Docker's variables would lead elsewhere: they are not for us, and the user should know.
fn ignored(is_set: impl Fn(&str) -> bool) -> Option<String> {
    let set: Vec<&str> =
        [env::DOCKER_HOST, env::DOCKER_CONTEXT].into_iter().filter(|name| is_set(name)).collect();
    let names = match set.as_slice() {
        [] => return None,
        [one] => format!("{one} is ignored"),
        _ => format!("{} are ignored", set.join(" and ")),
    };
    Some(format!("{names}: {PROGRAM} has its own daemon ({} says where)", env::ADDRESS))
}

/// True for an error because there is no such thing.
pub(crate) fn is_missing(error: &ClientError) -> bool {
    error.reason == Reason::NotFound
}

/// Says that it was the daemon who said so, if it did.
pub(crate) fn daemon_text(error: &ClientError) -> String {
    match error.disconnected {
        true => error.to_string(),
        false => format!("Error response from daemon: {error}"),
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        Self::new(Kind::Failed, daemon_text(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_for_dockers_variables() {
        assert_eq!(ignored(|_| false), None);
        let text = "DOCKER_HOST is ignored: k3c has its own daemon (K3C_ADDRESS says where)";
        assert_eq!(ignored(|name| name == "DOCKER_HOST").as_deref(), Some(text));
        assert!(
            ignored(|_| true).is_some_and(|t| t.starts_with("DOCKER_HOST and DOCKER_CONTEXT are ignored"))
        );
    }
}
