//! How messages with credentials in them are shown: without.

use super::k3c::v1::{Login, login};
use super::moby::buildkit::secrets::v1::GetSecretResponse;
use std::fmt;

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Login").field(&self.how).finish()
    }
}

impl fmt::Debug for login::How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(password) => password.fmt(f),
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
        }
    }
}

impl fmt::Debug for login::Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").field("username", &self.username).finish_non_exhaustive()
    }
}

impl fmt::Debug for GetSecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetSecretResponse").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let password = login::Password { username: "u".into(), password: "geheim".into() };
        for how in [login::How::Password(password), login::How::IdentityToken("geheim".into())] {
            let shown = format!("{:?}", Login { how: Some(how) });
            assert!(!shown.contains("geheim"), "{shown}");
        }
        assert_eq!(format!("{:?}", GetSecretResponse { data: vec![71] }), "GetSecretResponse { .. }");
    }
}
