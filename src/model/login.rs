//! Credentials on their way to a registry: what is asked, what is answered.

use std::fmt;

/// A registry wants to know who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginQuestion {
    /// The registry's host, with its port if that is not the usual one.
    pub host: String,
    /// Canonical reference of the image that the registry is asked for.
    pub reference: String,
    /// `WWW-Authenticate` headers, where they are known.
    pub challenges: Vec<String>,
}

/// The answer. It is used for the call that it belongs to and kept nowhere; no secret is in its debug form.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// There are no credentials.
    #[default]
    Anonymous,
    /// A name and a password.
    Password {
        /// The user's name at the registry.
        username: String,
        /// The password, or an access token in its place.
        password: String,
    },
    /// Identity token, for which the registry's token server gives access tokens.
    IdentityToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { username, .. } => {
                f.debug_struct("Password").field("username", username).finish_non_exhaustive()
            }
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let password = Login::Password { username: "u".into(), password: "geheim".into() };
        for login in [password, Login::IdentityToken("geheim".into())] {
            let shown = format!("{login:?}");
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }
}
