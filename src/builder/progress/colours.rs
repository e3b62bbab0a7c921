//! Colours of the table, with BuildKit's defaults and in the syntax of its variable: `run=green:error=255,0,0`.

/// The numbers of the sequence that turns a colour on; none for text as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Colours {
    /// Steps that are done.
    pub(super) run: Option<String>,
    /// Steps that were stopped.
    pub(super) cancel: Option<String>,
    /// Steps that failed.
    pub(super) error: Option<String>,
    /// Warnings.
    pub(super) warning: Option<String>,
    /// What a step says.
    pub(super) said: Option<String>,
}

const NAMES: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

impl Colours {
    /// The default, changed by what the user says; with it, what is wrong with that.
    pub fn new(wishes: &str) -> (Self, Vec<String>) {
        let of = |name: &str| code(name);
        let mut colours = Self {
            run: of(if cfg!(windows) { "cyan" } else { "blue" }),
            cancel: of("yellow"),
            error: of("red"),
            warning: of("yellow"),
            said: Some("2".to_owned()),
        };
        let mut wrong = Vec::new();
        for wish in wishes.split(':').filter(|wish| !wish.is_empty()) {
            let Some((key, name)) = wish.split_once('=') else {
                wrong.push(format!("{wish:?} is not of the form \"key=colour\""));
                continue;
            };
            let place = match key.to_ascii_lowercase().as_str() {
                "run" => &mut colours.run,
                "cancel" => &mut colours.cancel,
                "error" => &mut colours.error,
                "warning" => &mut colours.warning,
                _ => {
                    wrong.push(format!("{key:?} is not one of run, cancel, error and warning"));
                    continue;
                }
            };
            match code(name) {
                Some(code) => *place = Some(code),
                None => {
                    wrong.push(format!("{name:?} is neither a colour's name nor three numbers up to 255"))
                }
            }
        }
        (colours, wrong)
    }
}

fn code(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    if name == "default" {
        return Some("39".to_owned());
    }
    let (bright, plain) = name.strip_prefix("light-").map_or((0, name.as_str()), |plain| (60, plain));
    if let Some(at) = NAMES.iter().position(|known| *known == plain) {
        return Some(format!("{}", 30 + bright + at));
    }
    let parts: Vec<u8> = name.split(',').map(|part| part.trim().parse::<u8>().ok()).collect::<Option<_>>()?;
    match parts.as_slice() {
        [red, green, blue] => Some(format!("38;2;{red};{green};{blue}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_colours() {
        let (usual, wrong) = Colours::new("");
        assert_eq!((usual.error.as_deref(), wrong.len()), (Some("31"), 0));
        let (colours, wrong) = Colours::new("run=green:ERROR=Light-Cyan:warning=1,2,255:");
        assert!(wrong.is_empty());
        let all = [colours.run, colours.error, colours.warning, colours.cancel];
        assert_eq!(all.map(Option::unwrap), ["32", "96", "38;2;1;2;255", "33"]);
        let (colours, wrong) = Colours::new("run:x=red:error=pink:cancel=1,2,300:warning=1,2:run=red");
        assert_eq!(wrong.len(), 5);
        assert_eq!(colours.run.as_deref(), Some("31"));
        assert_eq!(Colours { run: usual.run.clone(), ..colours }, usual);
    }
}
