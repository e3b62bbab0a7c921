//! What every verb is given.

use super::error::{CommandError, Kind};
use super::signals::Signals;
use super::ui::Ui;
use crate::client::{self, Address, Autostart, Client, ClientError};
use crate::config::Dirs;
use crate::model::reason::Reason;
use tokio::sync::OnceCell;

/// Ours in messages.
pub(crate) const PROGRAM: &str = "k3c";

/// One per invocation.
pub(crate) struct Context {
    /// Where words go.
    pub(crate) ui: Ui,
    /// Who gets the signals.
    pub(crate) signals: Signals,
    address: Option<String>,
    client: OnceCell<Client>,
}

impl Context {
    /// Nothing is connected yet.
    pub(crate) fn new(ui: Ui, address: Option<String>) -> Self {
        Self { ui, signals: Signals::default(), address, client: OnceCell::new() }
    }

    /// The connection, made (and the daemon started) when first needed.
    pub(crate) async fn client(&self) -> Result<&Client, CommandError> {
        self.client
            .get_or_try_init(|| async {
                let dirs = Dirs::discover().map_err(CommandError::failed)?;
                let address = Address::from(self.address.as_deref(), &dirs).map_err(CommandError::failed)?;
                client::connect(&address, Autostart::Allowed).await.map_err(CommandError::failed)
            })
            .await
    }
}

/// There is no such thing.
pub(crate) fn is_missing(error: &ClientError) -> bool {
    error.reason == Reason::NotFound
}

/// The engine, or a part of it, is gone and may come back.
pub(crate) fn is_away(error: &ClientError) -> bool {
    error.reason == Reason::Unavailable
}

/// Says that it was the daemon who said so.
pub(crate) fn daemon_text(error: &ClientError) -> String {
    format!("Error response from daemon: {}", super::error::chain(error))
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        Self::new(Kind::Failed, daemon_text(&error))
    }
}
