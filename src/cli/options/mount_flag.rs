//! `--mount type=bind,src=/host,dst=/path,ro`

use super::mount::{absolute, clean, is_name};
use super::{Host, csv, value};
use crate::model::container::{Mount, MountKind};

/// Reads one `--mount`; the message is Docker's, without what names the flag.
pub(crate) fn parse(text: &str, host: &Host) -> Result<Mount, String> {
    let mut fields = Fields { kind: "volume".to_owned(), ..Fields::default() };
    for field in csv::fields(text)? {
        fields.set(&field, &Pair::of(&field))?;
    }
    let kind = fields.kind.as_str();
    if fields.target.is_empty() {
        return Err("target is required".to_owned());
    }
    if !fields.target.starts_with('/') {
        return Err(format!("invalid mount path: '{}' mount path must be absolute", fields.target));
    }
    for own in ["bind", "volume", "tmpfs", "image"] {
        if own != kind && fields.used.contains(&own) {
            return Err(format!("cannot mix '{own}-*' options with mount type '{kind}'"));
        }
    }
    let source = fields.source;
    let kind = match kind {
        "bind" if source.is_empty() => return Err("source is required for a mount of type bind".to_owned()),
        "bind" => {
            let path = absolute(&source, text, host).map_err(|e| e.to_string())?;
            MountKind::Bind { source: path, create: fields.create }
        }
        "volume" if source.is_empty() || is_name(&source) => {
            MountKind::Volume { name: source, no_copy: fields.no_copy }
        }
        "volume" => return Err(super::mount::Error::Name(source).to_string()),
        "tmpfs" if source.is_empty() => MountKind::Tmpfs { options: fields.tmpfs },
        "tmpfs" => return Err("source is not allowed for a mount of type tmpfs".to_owned()),
        "image" if source.is_empty() => {
            return Err("source is required for a mount of type image".to_owned());
        }
        "image" => MountKind::Image { reference: source },
        other => return Err(format!("mount type '{other}' is not supported")),
    };
    Ok(Mount {
        read_only: fields.read_only || matches!(kind, MountKind::Image { .. }),
        propagation: fields.propagation,
        non_recursive: fields.non_recursive,
        subpath: fields.subpath,
        ..Mount::new(kind, clean(&fields.target))
    })
}

#[derive(Default)]
struct Fields {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    propagation: String,
    create: bool,
    non_recursive: bool,
    no_copy: bool,
    subpath: String,
    tmpfs: Vec<String>,
    /// Types whose own options were given.
    used: Vec<&'static str>,
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

impl Pair {
    fn switch(&self) -> Result<bool, String> {
        match self.value.as_deref() {
            None => Ok(true),
            Some(text) => {
                value::boolean(text).ok_or_else(|| format!("invalid value for {}: {text}", self.key))
            }
        }
    }
}

/// A path below a volume or image.
fn relative(path: String) -> Result<String, String> {
    let leaves = path.split('/').any(|part| part == "..");
    match path.starts_with('/') || path.is_empty() || leaves {
        true => Err(format!("invalid subpath: '{path}' must be a relative path inside the mount")),
        false => Ok(path),
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
                self.read_only = pair.switch()?;
            }
            "bind-propagation" => {
                self.used.push("bind");
                let word = value()?.to_lowercase();
                let known = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
                if !known.contains(&word.as_str()) {
                    return Err(format!("invalid propagation mode: {word}"));
                }
                self.propagation = word;
            }
            "bind-nonrecursive" => {
                self.used.push("bind");
                self.non_recursive = pair.switch()?;
            }
            "bind-recursive" => {
                self.used.push("bind");
                match value()?.as_str() {
                    "enabled" => {}
                    "disabled" => self.non_recursive = true,
                    other @ ("writable" | "readonly") => {
                        return Err(format!(
                            "bind-recursive={other} is not supported: ro is recursive where the kernel can do it"
                        ));
                    }
                    other => return Err(format!("invalid value for bind-recursive: {other}")),
                }
            }
            "bind-create-mountpoint" | "bind-create-src" => {
                self.used.push("bind");
                self.create = pair.switch()?;
            }
            "volume-nocopy" => {
                self.used.push("volume");
                self.no_copy = pair.switch()?;
            }
            "volume-subpath" => {
                self.used.push("volume");
                self.subpath = relative(value()?)?;
            }
            "image-subpath" => {
                self.used.push("image");
                self.subpath = relative(value()?)?;
            }
            "tmpfs-size" => {
                self.used.push("tmpfs");
                let text = value()?;
                let size =
                    value::bytes(&text).map_err(|_| format!("invalid value for tmpfs-size: {text}"))?;
                self.tmpfs.push(format!("size={size}"));
            }
            "tmpfs-mode" => {
                self.used.push("tmpfs");
                let text = value()?;
                let mode = u32::from_str_radix(&text, 8)
                    .map_err(|_| format!("invalid value for tmpfs-mode: {text}"))?;
                self.tmpfs.push(format!("mode={mode:o}"));
            }
            "volume-driver" if value()? == "local" => {}
            // Consistency matters only to file sharing with a virtual machine.
            "consistency" => {
                value()?;
            }
            key if ["bind-", "volume-", "tmpfs-", "image-"].iter().any(|prefix| key.starts_with(prefix)) => {
                return Err(format!("option '{key}' is not supported"));
            }
            key => {
                value()?;
                return Err(format!("unexpected key '{key}' in '{field}'"));
            }
        }
        Ok(())
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
        let mount = |kind, target: &str| Mount::new(kind, target);
        let bind = |source: &str| MountKind::Bind { source: source.into(), create: false };
        let volume = |name: &str| MountKind::Volume { name: name.into(), no_copy: false };
        let cases = [
            ("type=bind,src=/a,dst=/b", mount(bind("/a"), "/b")),
            ("type=bind,source=./x,target=/b", mount(bind("/work dir/x"), "/b")),
            (
                "type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave",
                Mount { read_only: true, propagation: "rslave".into(), ..mount(bind("/a"), "/b") },
            ),
            ("type=bind,\"src=/a,b\",dst=/b", mount(bind("/a,b"), "/b")),
            ("type=bind,\"src=/say \"\"hi\"\"\",dst=/b", mount(bind("/say \"hi\""), "/b")),
            ("dst=/c,ro=F", mount(volume(""), "/c")),
            ("src=cache,dst=/c/", mount(volume("cache"), "/c")),
            ("dst=/c,ro=false", mount(volume(""), "/c")),
            ("type=tmpfs,destination=/t", mount(MountKind::Tmpfs { options: Vec::new() }, "/t")),
            (
                "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
                mount(MountKind::Tmpfs { options: vec!["size=1048576".into(), "mode=1770".into()] }, "/t"),
            ),
            (
                "src=cache,dst=/c,volume-nocopy,volume-subpath=a/b",
                Mount {
                    subpath: "a/b".into(),
                    ..mount(MountKind::Volume { name: "cache".into(), no_copy: true }, "/c")
                },
            ),
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
            ("type=tmpfs,dst=/a,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("dst=/a,volume-opt=x=y", "option 'volume-opt' is not supported"),
            ("src=v,dst=/a,volume-subpath=../x", "invalid subpath"),
            ("foo=bar,dst=/a", "unexpected key 'foo' in 'foo=bar'"),
            ("src,dst=/a", "invalid field 'src' must be a key=value pair"),
            ("dst=a", "invalid mount path: 'a' mount path must be absolute"),
            ("dst=/a,ro=maybe", "invalid value for ro: maybe"),
            ("dst=/a,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"),
            ("\"dst=/a", "quoted-field"),
            ("type=bind,src=\"/a,b\",dst=/c", "bare \" in non-quoted field"),
            ("", "value is empty"),
        ];
        for (text, part) in cases {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
