//! Container and volume names: Docker's rule, random names, and the form that pods may carry.

/// The text is not a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Invalid {what} name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
pub struct InvalidName {
    /// `container`, `volume`.
    pub what: &'static str,
    /// Name as given.
    pub name: String,
}

/// True for a name of the form `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() >= 2
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Checks a container's name; a leading slash is accepted and dropped.
pub fn container(name: &str) -> Result<String, InvalidName> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if is_valid(bare) {
        Ok(bare.to_owned())
    } else {
        Err(InvalidName { what: "container", name: name.to_owned() })
    }
}

const ADJECTIVES: &[&str] = &[
    "able", "airy", "amber", "apt", "awake", "bold", "brave", "bright", "brisk", "calm", "candid", "clear",
    "clever", "cosy", "crisp", "curious", "daring", "deft", "eager", "early", "earnest", "fair", "fleet",
    "fond", "frank", "free", "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest",
    "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild",
    "modest", "neat", "nimble", "noble", "patient", "placid", "plucky", "polite", "proud", "quick", "quiet",
    "rapid", "ready", "serene", "sharp", "silent", "smart", "smooth", "snug", "sober", "steady", "sunny",
    "swift", "tidy", "tranquil", "trusty", "upbeat", "vivid", "warm", "wise", "witty", "young", "zesty",
];

const SURNAMES: &[&str] = &[
    "abel",
    "agnesi",
    "ampere",
    "archimedes",
    "avogadro",
    "babbage",
    "bernoulli",
    "bohr",
    "boole",
    "brahe",
    "cauchy",
    "celsius",
    "copernicus",
    "coulomb",
    "curie",
    "dalton",
    "darwin",
    "descartes",
    "dijkstra",
    "dirac",
    "einstein",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fourier",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "goedel",
    "hamilton",
    "heisenberg",
    "hertz",
    "hilbert",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "jacobi",
    "joule",
    "kepler",
    "kovalevskaya",
    "lagrange",
    "laplace",
    "leavitt",
    "leibniz",
    "lovelace",
    "maxwell",
    "meitner",
    "mendel",
    "mendeleev",
    "morse",
    "napier",
    "newton",
    "noether",
    "ohm",
    "pascal",
    "pasteur",
    "pauli",
    "planck",
    "poincare",
    "ptolemy",
    "pythagoras",
    "ramanujan",
    "riemann",
    "rubin",
    "rutherford",
    "shannon",
    "tesla",
    "thales",
    "turing",
    "volta",
    "watt",
    "wiles",
    "wu",
];

/// `adjective_surname`, chosen by two random numbers, which the caller supplies; from the second try on with a digit.
pub fn random(first: usize, second: usize, attempt: usize) -> String {
    let adjective = ADJECTIVES[first % ADJECTIVES.len()];
    let surname = SURNAMES[second % SURNAMES.len()];
    if attempt == 0 {
        format!("{adjective}_{surname}")
    } else {
        format!("{adjective}_{surname}{}", (first / ADJECTIVES.len() + attempt) % 10)
    }
}

/// A name that a pod may have: lower-case letters, digits, `-` and `.`, at most 63 characters, beginning and ending with a
/// letter or digit. Two names may give one pod name; the pod's uid tells them apart.
pub fn pod(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    while safe.ends_with('-') {
        safe.pop();
    }
    let safe = safe.trim_start_matches('-');
    if safe.is_empty() { "container".to_owned() } else { safe.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["ab", "a.b", "A_1", "0-"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "-a", "_a", "a b", "a/b", "é1"] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert_eq!(container("/web").unwrap(), "web");
        assert_eq!(
            container("x/y").unwrap_err().to_string(),
            "Invalid container name (x/y), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
    }

    #[test]
    fn pods() {
        assert_eq!(pod("Happy_Euler"), "happy-euler");
        assert_eq!(pod("a..__"), "a");
        assert_eq!(pod(&"x".repeat(80)).len(), 63);
        assert!(is_valid(&random(3, 4, 0)));
        assert_ne!(random(3, 4, 0), random(3, 4, 1));
    }
}
