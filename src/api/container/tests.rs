use super::*;
use crate::model::port;
use jiff::Timestamp;

#[test]
fn a_row_comes_back() {
    let row = ContainerSummary {
        id: ContainerId::from_bytes([1; 32]),
        names: vec!["web".into()],
        image: "demo".into(),
        image_id: "sha256:1".into(),
        command: "sleep 1".into(),
        created: Timestamp::new(1_700_000_000, 1).unwrap(),
        state: ContainerState {
            status: Status::Restarting,
            pid: 1,
            exit_code: 137,
            error: "e".into(),
            oom_killed: true,
            started_at: Some(Timestamp::UNIX_EPOCH),
            finished_at: None,
            attempt: 3,
            restart_count: 2,
            health: Some(Health::Unhealthy),
        },
        labels: [("a".to_owned(), "b".to_owned())].into(),
        mounts: Vec::new(),
        size: Some((0, 7)),
        network: "bridge".into(),
        ports: port::shown(&["80/tcp".into()], &[]),
        foreign: true,
    };
    assert_eq!(wire::ContainerSummary::from(row.clone()).try_into(), Ok(row));
}

#[test]
fn requests_come_back() {
    let filters = [("name".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into();
    let filter = ListFilter { all: true, filters, limit: Some(3), size: true };
    let ListFilter { all, filters, limit, size } = list_from(list_to(filter.clone())).unwrap();
    assert_eq!((all, limit, size), (true, Some(3), true));
    let raw = crate::api::filters_from(list_to(filter.clone()).filters);
    assert_eq!(raw, filter.filters);
    assert_eq!(format!("{filters:?}"), format!("{:?}", ContainerFilter::parse(raw).unwrap()));
    assert!(
        list_from(list_to(ListFilter { filters: [("no".into(), vec!["a".into()])].into(), ..filter }))
            .is_err()
    );
    let options =
        LogsOptions { follow: true, tail: Some(0), stdout: true, details: true, ..LogsOptions::default() };
    assert_eq!(logs_from(logs_to("web", options.clone())), Ok(("web".to_owned(), options)));
    for condition in [WaitCondition::NotRunning, WaitCondition::NextExit, WaitCondition::Removed] {
        assert_eq!(condition_from(condition_to(condition)), Ok(condition));
    }
    for stream in [Stream::Stdout, Stream::Stderr] {
        let entry = LogEntry {
            stream,
            time: Timestamp::UNIX_EPOCH,
            data: vec![0xff, b'\n'],
            partial: true,
            position: Default::default(),
            attributes: [("tag".to_owned(), "x".to_owned())].into(),
        };
        assert_eq!(wire::LogEntry::from(entry.clone()).try_into(), Ok(entry));
    }
}
