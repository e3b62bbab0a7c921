//! `--restart`

use crate::model::container::RestartPolicy;

/// Reads `no`, `always`, `unless-stopped`, `on-failure[:N]`.
pub(crate) fn parse(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    if name.is_empty() && count.is_some() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let max = match count {
        None | Some("") => None,
        Some(count) => Some(count.parse::<i64>().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?),
    };
    let policy = match name {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => {
            let max = u32::try_from(max.unwrap_or(0))
                .map_err(|_| "invalid restart policy: maximum retry count cannot be negative".to_owned())?;
            return Ok(RestartPolicy::OnFailure { max });
        }
        other => {
            return Err(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            ));
        }
    };
    match max {
        Some(max) if max != 0 => {
            Err("invalid restart policy: maximum retry count can only be used with 'on-failure'".to_owned())
        }
        _ => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let cases = [
            ("", Ok(RestartPolicy::No)),
            ("no", Ok(RestartPolicy::No)),
            ("always", Ok(RestartPolicy::Always)),
            ("unless-stopped", Ok(RestartPolicy::UnlessStopped)),
            ("on-failure", Ok(RestartPolicy::OnFailure { max: 0 })),
            ("on-failure:3", Ok(RestartPolicy::OnFailure { max: 3 })),
            ("on-failure:x", Err("must be an integer")),
            ("on-failure:-1", Err("cannot be negative")),
            ("always:3", Err("can only be used with 'on-failure'")),
            ("sometimes", Err("unknown policy 'sometimes'")),
            (":3", Err("no policy provided before colon")),
        ];
        for (text, expected) in cases {
            match (parse(text), expected) {
                (Ok(policy), Ok(expected)) => assert_eq!(policy, expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
