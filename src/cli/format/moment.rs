//! Points in time: read from `--since` and `--until`, written in the forms of Go.

use super::duration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The user's time zone. Without TZ the file is read, rather than looked for by name among all zones of the host, which
/// reads every folder of them.
pub(crate) fn zone() -> TimeZone {
    let file = || TimeZone::tzif("Local", &std::fs::read("/etc/localtime").ok()?).ok();
    match std::env::var_os("TZ") {
        Some(_) => TimeZone::system(),
        None => file().unwrap_or_else(TimeZone::system),
    }
}

/// Reads RFC 3339, a date with or without a time of day (in `zone`), seconds since 1970, or a duration before `now`.
pub(crate) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if let Some(nanoseconds) = duration::parse_go(text) {
        let back = SignedDuration::from_nanos(i64::try_from(nanoseconds).ok()?);
        return now.checked_sub(back).ok();
    }
    if let Some(moment) = unix(text) {
        return Some(moment);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let (text, zone) = match text.strip_suffix('Z') {
        Some(text) => (text, &TimeZone::UTC),
        None => (text, zone),
    };
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d"]
        .iter()
        .find_map(|form| civil(form, text))
        .and_then(|civil| civil.to_zoned(zone.clone()).ok())
        .map(|zoned| zoned.timestamp())
}

fn civil(form: &str, text: &str) -> Option<DateTime> {
    let parsed = jiff::fmt::strtime::parse(form, text).ok()?;
    let date = parsed.to_date().ok()?;
    Some(date.to_datetime(parsed.to_time().unwrap_or_default()))
}

/// `1700000000` or `1700000000.25`.
fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// `2026-01-02T15:04:05.000000000Z`: always nine digits.
pub(crate) fn rfc3339_nano(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// RFC 3339 with nanoseconds, in a zone, with its offset (`Z` for none).
pub(crate) fn rfc3339_nano_in(moment: Timestamp, zone: &TimeZone) -> String {
    let zoned = moment.to_zoned(zone.clone());
    let offset = match zoned.offset().is_zero() {
        true => "Z".to_owned(),
        false => zoned.strftime("%:z").to_string(),
    };
    format!("{}{offset}", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
}

/// RFC 3339 with whole seconds, in a zone, with its offset (`Z` for none).
pub(crate) fn rfc3339(moment: Timestamp, zone: &TimeZone) -> String {
    let zoned = moment.to_zoned(zone.clone());
    let offset = if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
    format!("{}{offset}", zoned.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// Go's `2006-01-02 15:04:05 -0700 MST`, as `CreatedAt` has it.
pub(crate) fn long(moment: Timestamp, zone: &TimeZone) -> String {
    moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let cases = [
            ("10m", Some("1970-01-12T13:36:40Z")),
            ("1700000000", Some("2023-11-14T22:13:20Z")),
            ("1700000000.5", Some("2023-11-14T22:13:20.5Z")),
            ("2024-05-06T07:08:09.25Z", Some("2024-05-06T07:08:09.25Z")),
            ("2024-05-06T07:08:09+02:00", Some("2024-05-06T05:08:09Z")),
            ("2024-05-06T07:08:09", Some("2024-05-06T06:08:09Z")),
            ("2024-05-06T07:08", Some("2024-05-06T06:08:00Z")),
            ("2024-05-06T07", Some("2024-05-06T06:00:00Z")),
            ("2024-05-06", Some("2024-05-05T23:00:00Z")),
            ("2024-05-06Z", Some("2024-05-06T00:00:00Z")),
            ("yesterday", None),
            ("", None),
        ];
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (text, expected) in cases {
            let moment = parse(text, now, &zone).map(|m| m.to_string());
            assert_eq!(moment.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn writes_gos_forms() {
        let moment: Timestamp = "2026-01-02T15:04:05.5Z".parse().unwrap();
        assert_eq!(rfc3339_nano(moment), "2026-01-02T15:04:05.500000000Z");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(rfc3339_nano_in(moment, &zone), "2026-01-02T16:04:05.500000000+01:00");
        assert_eq!(rfc3339_nano_in(moment, &TimeZone::UTC), "2026-01-02T15:04:05.500000000Z");
        assert_eq!(long(moment, &TimeZone::UTC), "2026-01-02 15:04:05 +0000 UTC");
    }
}
