//! `--mount type=bind,src=/host,dst=/path,ro`

use super::Host;
use super::mount::{absolute, clean, is_name};
use crate::model::container::{Mount, MountKind};

/// Reads one `--mount`; the message is Docker's, without what names the flag.
pub(crate) fn parse(text: &str, host: &Host) -> Result<Mount, String> {
    let mut fields = Fields { kind: "volume".to_owned(), ..Fields::default() };
    for field in csv(text)? {
        fields.set(&field, &Pair::of(&field))?;
    }
    let Fields { kind, source, target, read_only, propagation } = fields;
    if target.is_empty() {
        return Err("target is required".to_owned());
    }
    if !target.starts_with('/') {
        return Err(format!("invalid mount path: '{target}' mount path must be absolute"));
    }
    if propagation.is_some() && kind != "bind" {
        return Err(format!("cannot mix 'bind-*' options with mount type '{kind}'"));
    }
    let kind = match kind.as_str() {
        "bind" if source.is_empty() => return Err("source is required for a mount of type bind".to_owned()),
        "bind" => {
            let path = absolute(&source, text, host).map_err(|e| e.to_string())?;
            MountKind::Bind { source: path, create: false }
        }
        "volume" if source.is_empty() || is_name(&source) => MountKind::Volume { name: source },
        "volume" => return Err(super::mount::Error::Name(source).to_string()),
        "tmpfs" if source.is_empty() => MountKind::Tmpfs,
        "tmpfs" => return Err("source is not allowed for a mount of type tmpfs".to_owned()),
        other => return Err(format!("mount type '{other}' is not supported")),
    };
    Ok(Mount { kind, target: clean(&target), read_only, propagation: propagation.unwrap_or_default() })
}

#[derive(Default)]
struct Fields {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    propagation: Option<String>,
}

struct Pair {
    key: String,
    value: Option<String>,
}

impl Pair {
    fn of(field: &str) -> Self {
        match field.split_once('=') {
            Some((key, value)) => Self { key: key.to_lowercase(), value: Some(value.to_owned()) },
            None => Self { key: field.to_lowercase(), value: None },
        }
    }
}

impl Fields {
    fn set(&mut self, field: &str, pair: &Pair) -> Result<(), String> {
        let value =
            || pair.value.clone().ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"));
        match pair.key.as_str() {
            "type" => self.kind = value()?.to_lowercase(),
            "source" | "src" => self.source = value()?,
            "target" | "dst" | "destination" => self.target = value()?,
            "readonly" | "ro" => {
                self.read_only = match pair.value.as_deref() {
                    None | Some("1" | "true") => true,
                    Some("0" | "false") => false,
                    Some(other) => return Err(format!("invalid value for {}: {other}", pair.key)),
                }
            }
            "bind-propagation" => match value()?.to_lowercase() {
                word if ["private", "rprivate", "shared", "rshared", "slave", "rslave"]
                    .contains(&word.as_str()) =>
                {
                    self.propagation = Some(word);
                }
                other => return Err(format!("invalid propagation mode: {other}")),
            },
            // Of meaning only to file sharing with a virtual machine.
            "consistency" => {
                value()?;
            }
            key if ["bind-", "volume-", "tmpfs-", "image-"].iter().any(|prefix| key.starts_with(prefix)) => {
                return Err(format!("option '{key}' is not supported yet"));
            }
            key => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }
}

/// Fields between commas; one in quotes may contain commas.
fn csv(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    match quoted {
        true => Err("extraneous or missing \" in quoted-field".to_owned()),
        false => Ok(fields),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Mount, String> {
        parse(text, &Host { working_dir: "/work dir".into(), ..Host::default() })
    }

    #[test]
    fn forms() {
        let mount = |kind, target: &str| Mount {
            kind,
            target: target.into(),
            read_only: false,
            propagation: String::new(),
        };
        let bind = |source: &str| MountKind::Bind { source: source.into(), create: false };
        let volume = |name: &str| MountKind::Volume { name: name.into() };
        let cases = [
            ("type=bind,src=/a,dst=/b", mount(bind("/a"), "/b")),
            ("type=bind,source=./x,target=/b", mount(bind("/work dir/x"), "/b")),
            (
                "type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave",
                Mount { read_only: true, propagation: "rslave".into(), ..mount(bind("/a"), "/b") },
            ),
            ("type=bind,\"src=/a,b\",dst=/b", mount(bind("/a,b"), "/b")),
            ("src=cache,dst=/c/", mount(volume("cache"), "/c")),
            ("dst=/c,ro=false", mount(volume(""), "/c")),
            ("type=tmpfs,destination=/t", mount(MountKind::Tmpfs, "/t")),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refused() {
        let cases = [
            ("type=bind,src=/a", "target is required"),
            ("type=bind,dst=/a", "source is required"),
            ("type=tmpfs,src=/x,dst=/a", "source is not allowed"),
            ("type=npipe,dst=/a", "mount type 'npipe' is not supported"),
            ("type=tmpfs,dst=/a,tmpfs-size=1m", "option 'tmpfs-size' is not supported yet"),
            ("foo=bar,dst=/a", "unexpected key 'foo' in 'foo=bar'"),
            ("src,dst=/a", "invalid field 'src' must be a key=value pair"),
            ("dst=a", "invalid mount path: 'a' mount path must be absolute"),
            ("dst=/a,ro=maybe", "invalid value for ro: maybe"),
            ("dst=/a,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"),
            ("\"dst=/a", "quoted-field"),
        ];
        for (text, part) in cases {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
