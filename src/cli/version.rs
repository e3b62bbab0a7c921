//! `version`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::table;
use super::format::template::{Data, Template};
use crate::api::docker::schema::Typed as _;
use crate::api::docker::{self, ClientVersion};
use crate::config;
use crate::model::system::Version;
use serde_json::Value;

/// Show the version information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

/// The version of this program.
pub(crate) fn own() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The client's part is shown even when no engine answers.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let template = match args.format.as_deref() {
        None | Some("" | "json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let server = match cx.client().await {
        Ok(client) => client.version().await.map_err(CommandError::from),
        Err(error) => Err(error),
    };
    let document = document(server.as_ref().ok());
    match (&template, args.format.as_deref()) {
        (Some(template), _) => {
            match template.render(&Data::new(&document, docker::Version::SHAPE)) {
                Ok(text) => cx.ui.line(&text)?,
                // The template asked for something that only the engine knows.
                Err(error) => return Err(server.err().unwrap_or_else(|| error.into())),
            }
        }
        (None, Some("json")) => cx.ui.line(&document.to_string())?,
        (None, _) => cx.ui.data(text(&document).as_bytes())?,
    }
    server.map(|_| ())
}

fn document(server: Option<&Version>) -> Value {
    let client = ClientVersion {
        version: own().to_owned(),
        api_version: server.map_or(own(), |server| server.api_version.as_str()).to_owned(),
        git_commit: config::commit().to_owned(),
        os: docker::os(std::env::consts::OS).to_owned(),
        arch: docker::arch(std::env::consts::ARCH).to_owned(),
        build_time: option_env!("K3C_BUILD_TIME").unwrap_or("unknown").to_owned(),
        context: "default".to_owned(),
        ..ClientVersion::default()
    };
    docker::value(&docker::Version { client, server: server.map(Into::into) })
}

fn text(document: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let client = &document["Client"];
    let mut out = format!(
        "Client:\n Version:\t{}\n API version:\t{}\n Git commit:\t{}\n Built:\t{}\n OS/Arch:\t{}/{}\n Context:\t{}\n",
        word(&client["Version"]),
        word(&client["ApiVersion"]),
        word(&client["GitCommit"]),
        word(&client["BuildTime"]),
        word(&client["Os"]),
        word(&client["Arch"]),
        word(&client["Context"]),
    );
    let Some(server) = document.get("Server") else { return table::align_with(&out, 20, 1) };
    out.push_str("\nServer:\n");
    for component in server["Components"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            " {}:\n  Version:\t{}\n",
            word(&component["Name"]),
            word(&component["Version"])
        ));
        let details = &component["Details"];
        if details["ApiVersion"].is_string() {
            out.push_str(&format!(
                "  API version:\t{} (minimum version {})\n  Git commit:\t{}\n  Built:\t{}\n  OS/Arch:\t{}/{}\n",
                word(&details["ApiVersion"]),
                word(&details["MinAPIVersion"]),
                word(&details["GitCommit"]),
                word(&details["BuildTime"]),
                word(&details["Os"]),
                word(&details["Arch"]),
            ));
        }
    }
    table::align_with(&out, 20, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Version {
        Version {
            version: "1.2.3".into(),
            api_version: "1.0".into(),
            git_commit: "abc".into(),
            built: "today".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            kernel_version: "6.1".into(),
            components: [("containerd".to_owned(), "v2".to_owned())].into(),
        }
    }

    #[test]
    fn with_an_engine() {
        let document = document(Some(&server()));
        let text = text(&document);
        assert!(text.starts_with("Client:\n Version:           "), "{text}");
        let expected = "
Server:
 Engine:
  Version:          1.2.3
  API version:      1.0 (minimum version 1.0)
  Git commit:       abc
  Built:            today
  OS/Arch:          linux/amd64
 containerd:
  Version:          v2
";
        assert!(text.ends_with(expected), "{text}");
        let data = Data::new(&document, docker::Version::SHAPE);
        let render = |text: &str| Template::parse(text).unwrap().render(&data).unwrap();
        assert_eq!(
            render("[{{.Client.GoVersion}}] {{.Server.Experimental}} {{.Server.Platform.Name}}"),
            "[] false k3c"
        );
        assert_eq!(render("{{.Server.APIVersion}} {{.Server.Os}}/{{.Server.Arch}}"), "1.0 linux/amd64");
        assert!(render("{{json .}}").starts_with("{\"Client\":{\"Version\":"));
        assert!(!render("{{json .}}").contains("APIVersion\":\"1.0\",\"Client"));
    }

    #[test]
    fn without_one() {
        let document = document(None);
        assert!(!text(&document).contains("Server"));
        let data = Data::new(&document, docker::Version::SHAPE);
        assert!(Template::parse("{{.Server.Version}}").unwrap().render(&data).is_err());
        assert_eq!(Template::parse("{{.Client.Version}}").unwrap().render(&data).unwrap(), own());
    }
}
