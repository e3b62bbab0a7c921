//! Points in time.

use super::Invalid;
use jiff::Timestamp;
use std::time::Duration;

/// `google.protobuf.Timestamp` wants its nanoseconds to count upwards, also before 1970.
pub(super) fn to(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

/// Absent stays absent.
pub(super) fn from(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Invalid> {
    time.map(|time| Timestamp::new(time.seconds, time.nanos).map_err(|error| Invalid::new(field, error)))
        .transpose()
}

/// Absent is an error.
pub(super) fn required(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Timestamp, Invalid> {
    from(field, time)?.ok_or_else(|| Invalid::new(field, "missing"))
}

/// A length of time.
pub(super) fn duration_to(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// Absent stays absent; below zero there is none.
pub(super) fn duration_from(
    field: &'static str,
    duration: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Invalid> {
    let read = |d: prost_types::Duration| {
        Some(Duration::new(u64::try_from(d.seconds).ok()?, u32::try_from(d.nanos).ok()?))
    };
    duration.map(|d| read(d).ok_or_else(|| Invalid::new(field, "must not be negative"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_on_both_sides_of_1970() {
        for (second, nano) in
            [(0, 0), (1, 999_999_999), (-1, -1), (0, -1), (-62_135_596_800, 0), (1_700_000_000, 5)]
        {
            let time = Timestamp::new(second, nano).unwrap();
            let wire = to(time);
            assert!((0..1_000_000_000).contains(&wire.nanos), "{wire:?}");
            assert_eq!(from("t", Some(wire)), Ok(Some(time)));
        }
        assert_eq!(from("t", None), Ok(None));
        assert!(required("t", None).is_err());
        assert!(from("t", Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 })).is_err());
    }
}
