//! `login` and `logout`: the daemon asks the registry, as it asks for pulls; this side keeps what was said.

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::ui::typed_line;
use crate::credentials::{self, Credentials, Kept};
use crate::model::reason::Reason;
use crate::sys::terminal::Raw;
use std::io::Read;

/// Authenticate to a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

/// Log out from a registry
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArgs {
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

/// Asks for what is not said, asks the registry, and keeps it.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    check(&args)?;
    let host = host(args.server.as_deref());
    if args.password.is_some() {
        cx.ui.message("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let known = credentials::lookup(&host, None).await.map_err(CommandError::failed)?;
    if let (None, None, false, Some(known)) = (&args.username, &args.password, args.password_stdin, &known) {
        cx.ui.line("Authenticating with existing credentials...")?;
        match cx.client().await?.check_login(&host, known.clone().into()).await {
            Ok(()) => return Ok(cx.ui.line("Login Succeeded")?),
            Err(error) if error.reason == Reason::Unauthorized => {
                cx.ui.message(&format!("Login did not succeed, error: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let given = given(args, &host, known.map(|known| known.username), cx).await?;
    cx.client().await?.check_login(&host, given.clone().into()).await?;
    if let Kept::File(path) = credentials::save(&host, &given).await.map_err(CommandError::failed)? {
        cx.ui.message(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    Ok(cx.ui.line("Login Succeeded")?)
}

/// Forgets what was kept.
pub(crate) async fn logout(args: LogoutArgs, cx: &Context) -> Outcome {
    let host = host(args.server.as_deref());
    let shown = if host == "docker.io" { credentials::HUB_KEY } else { &host };
    let text = match credentials::erase(&host).await.map_err(CommandError::failed)? {
        true => format!("Removing login credentials for {shown}"),
        false => format!("Not logged in to {shown}"),
    };
    Ok(cx.ui.line(&text)?)
}

/// Refuses flags that do not go together.
fn check(args: &Args) -> Outcome {
    let why = match args {
        Args { password: Some(_), password_stdin: true, .. } => {
            "--password and --password-stdin are mutually exclusive"
        }
        Args { password_stdin: true, username: None, .. } => "Must provide --username with --password-stdin",
        Args { username: Some(name), .. } if name.is_empty() => "username is empty",
        Args { password: Some(password), .. } if password.is_empty() => "password is empty",
        _ => return Ok(()),
    };
    Err(CommandError::failed(why))
}

/// The host of a server, which may be said as an address.
fn host(server: Option<&str>) -> String {
    let bare = server.unwrap_or_default();
    let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or_default() {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

/// The credentials that were given, or are now, by somebody at a terminal.
async fn given(
    args: Args,
    host: &str,
    before: Option<String>,
    cx: &Context,
) -> Result<Credentials, CommandError> {
    let password = match args.password_stdin {
        true => Some(all_of_stdin().await?),
        false => args.password,
    };
    let terminal = cx.ui.terminals().stdin;
    if !terminal && (password.is_none() || args.username.is_none()) {
        return Err(CommandError::failed("Error: Cannot perform an interactive login from a non TTY device"));
    }
    let username = match args.username {
        Some(username) => username,
        None => {
            if host == "docker.io" {
                cx.ui.line(
                    "Log in with your Docker ID or email address to push and pull images from Docker Hub.",
                )?;
            }
            let before = before.filter(|before| !before.is_empty());
            let question = match &before {
                Some(before) => format!("Username ({before}): "),
                None => "Username: ".to_owned(),
            };
            match line(&question, cx).await?.trim() {
                "" => before.ok_or_else(|| CommandError::failed("Error: Non-null Username Required"))?,
                username => username.to_owned(),
            }
        }
    };
    let password = match password {
        Some(password) => password,
        None => {
            let unseen = Raw::unseen()?;
            let password = line("Password: ", cx).await;
            drop(unseen);
            cx.ui.line("")?;
            password?
        }
    };
    match password.is_empty() {
        true => Err(CommandError::failed("Error: Password Required")),
        false => Ok(Credentials { username, secret: password }),
    }
}

async fn line(question: &str, cx: &Context) -> Result<String, CommandError> {
    cx.ui.data(question.as_bytes())?;
    Ok(typed_line().await?)
}

/// Standard input up to its end, without the end of its last line.
async fn all_of_stdin() -> Result<String, CommandError> {
    let read = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    });
    let text = read.await.map_err(CommandError::failed)??;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn hosts() {
        for (server, expected) in [
            ("", "docker.io"),
            ("index.docker.io", "docker.io"),
            (credentials::HUB_KEY, "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("https://registry.example/v2/", "registry.example"),
        ] {
            assert_eq!(host(Some(server)), expected, "{server}");
        }
    }

    #[test]
    fn flags_that_go_together() {
        for (line, why) in [
            ("-u a -p b x", ""),
            ("-u a --password-stdin", ""),
            ("-p b --password-stdin", "--password and --password-stdin are mutually exclusive"),
            ("--password-stdin", "Must provide --username with --password-stdin"),
            ("--username= x", "username is empty"),
            ("-u a --password= x", "password is empty"),
        ] {
            let checked = check(&command::parse_as::<Args>(line).unwrap());
            assert_eq!(checked.err().map(|e| e.to_string()).unwrap_or_default(), why, "{line}");
        }
    }
}
