//! The answer to one question: what a container is called we know, all else is passed on.

use super::lookup;
use super::upstream::{Upstream, at, hosts};
use crate::model::directory::Directory;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use rand::seq::SliceRandom;
use std::net::IpAddr;
use std::path::Path;

/// Seconds for which an answer about a container may be kept: it may be gone soon.
const LIFE: u32 = 5;
/// Bytes of a datagram that everybody takes.
const SHORT: usize = 512;
/// Bytes of a message's header.
const HEADER: usize = 12;

/// What is to be done with a question.
#[derive(Debug)]
pub(super) enum Reply {
    /// Nothing: it is none.
    None,
    /// This is said.
    Say(Vec<u8>),
    /// Somebody else is asked.
    PassOn(Message, Upstream),
}

/// Decides it. `netns`: where the containers are.
pub(super) fn reply(
    directory: &Directory,
    whole: &[u8],
    from: IpAddr,
    stream: bool,
    netns: Option<&Path>,
) -> Reply {
    let may = |from| matches!(from, IpAddr::V4(from) if directory.within.iter().any(|of| of.has_host(from)));
    if !may(from) {
        return Reply::None;
    }
    let Ok(question) = Message::from_vec(whole) else {
        return match whole.get(..2) {
            Some(number) if whole.len() >= HEADER => {
                let number = u16::from_be_bytes([number[0], number[1]]);
                said(&Message::error_msg(number, OpCode::Query, ResponseCode::FormErr))
            }
            _ => Reply::None,
        };
    };
    if question.metadata.message_type != MessageType::Query {
        return Reply::None;
    }
    let error = |code| {
        let mut answer = begun(&question);
        answer.metadata.response_code = code;
        said(&answer)
    };
    if question.metadata.op_code != OpCode::Query {
        return error(ResponseCode::NotImp);
    }
    let [asked] = question.queries.as_slice() else { return error(ResponseCode::FormErr) };
    let asker = lookup::asker(directory, from);
    if let Some(records) = asker.and_then(|asker| records(directory, asker, asked)) {
        let mut answer = begun(&question);
        answer.metadata.authoritative = true;
        answer.add_answers(records);
        let limit = if stream { usize::from(u16::MAX) } else { SHORT.max(question.max_payload().into()) };
        return match answer.to_vec() {
            Ok(bytes) if bytes.len() > limit => said(&answer.truncate()),
            Ok(bytes) => Reply::Say(bytes),
            Err(_) => error(ResponseCode::ServFail),
        };
    }
    let upstream = match asker {
        Some(asker) if asker.secluded => return error(ResponseCode::Refused),
        Some(asker) if !asker.servers.is_empty() => Upstream {
            servers: asker.servers.iter().copied().map(at).collect(),
            netns: netns.map(Path::to_owned),
        },
        _ if !directory.upstream.is_empty() => {
            Upstream { servers: directory.upstream.iter().copied().map(at).collect(), netns: None }
        }
        _ => Upstream { servers: hosts(), netns: None },
    };
    Reply::PassOn(question, upstream)
}

/// What is said when nobody else answers.
pub(super) fn failed(question: &Message) -> Option<Vec<u8>> {
    let mut answer = begun(question);
    answer.metadata.response_code = ResponseCode::ServFail;
    answer.to_vec().ok()
}

/// Records of a name, or an address, that the asker knows; `None`: it knows none. There may be no record of that kind.
fn records(
    directory: &Directory,
    asker: &crate::model::directory::Listed,
    asked: &Query,
) -> Option<Vec<Record>> {
    if asked.query_class() != DNSClass::IN {
        return None;
    }
    let name = asked.name();
    if asked.query_type() == RecordType::PTR {
        let network = name.parse_arpa_name().ok()?;
        let called = lookup::name(directory, asker, network.addr())?;
        let called = Name::from_ascii(format!("{called}.")).ok()?;
        return Some(vec![Record::from_rdata(name.clone(), LIFE, RData::PTR(PTR(called)))]);
    }
    let text = name.to_ascii().to_lowercase();
    let mut addresses = lookup::addresses(directory, asker, text.trim_end_matches('.'))?;
    // Those of one name have their turns.
    addresses.shuffle(&mut rand::rng());
    let all = addresses.into_iter().map(|address| match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    });
    let wanted = |data: &RData| [data.record_type(), RecordType::ANY].contains(&asked.query_type());
    Some(all.filter(wanted).map(|data| Record::from_rdata(name.clone(), LIFE, data)).collect())
}

/// The beginning of an answer.
fn begun(question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.iter().cloned());
    if let Some(edns) = &question.edns {
        let mut own = hickory_proto::op::Edns::new();
        own.set_max_payload(edns.max_payload().max(1232));
        answer.set_edns(own);
    }
    answer
}

fn said(answer: &Message) -> Reply {
    answer.to_vec().map_or(Reply::None, Reply::Say)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::directory::{Listed, Place};

    fn directory() -> Directory {
        let listed = |id: &str, number: u8, name: &str| Listed {
            id: id.into(),
            up: true,
            places: vec![Place {
                network: "n".into(),
                addresses: vec![[10, 1, 0, number].into(), format!("fd00::{number}").parse().unwrap()],
                names: vec![name.into(), "all".into()],
            }],
            ..Listed::default()
        };
        let mut containers = vec![listed("a", 2, "web")];
        containers.extend((3..100).map(|number| listed(&number.to_string(), number, &format!("c{number}"))));
        containers[1].secluded = true;
        containers[2].servers = vec!["10.1.0.53".parse().unwrap()];
        Directory {
            containers,
            within: vec!["10.1.0.0/24".parse().unwrap()],
            upstream: vec!["192.0.2.1".parse().unwrap()],
            ..Directory::default()
        }
    }

    fn ask(name: &str, kind: RecordType, from: u8, stream: bool) -> Reply {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let from = IpAddr::from([10, 1, 0, from]);
        reply(&directory(), &question.to_vec().unwrap(), from, stream, Some(Path::new("/n")))
    }

    fn heard(reply: Reply) -> Message {
        match reply {
            Reply::Say(bytes) => Message::from_vec(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_known_is_said() {
        let answer = heard(ask("WeB.", RecordType::A, 2, false));
        assert_eq!(answer.answers.len(), 1);
        assert_eq!(answer.answers[0].data.ip_addr(), Some([10, 1, 0, 2].into()));
        assert!(answer.metadata.authoritative && answer.metadata.response_code == ResponseCode::NoError);
        let six = heard(ask("web.n.", RecordType::AAAA, 5, false));
        assert_eq!(six.answers[0].data.ip_addr(), Some("fd00::2".parse().unwrap()));
        // A name that is known has no other records, which is no reason to ask elsewhere.
        let none = heard(ask("web.", RecordType::MX, 5, false));
        assert!(none.answers.is_empty() && none.metadata.response_code == ResponseCode::NoError);
        let back = heard(ask("2.0.1.10.in-addr.arpa.", RecordType::PTR, 5, false));
        assert_eq!(back.answers[0].data.to_string(), "web.n.");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said_by_a_stream() {
        let short = heard(ask("all.", RecordType::A, 2, false));
        assert!(short.metadata.truncation && short.answers.is_empty());
        let whole = heard(ask("all.", RecordType::A, 2, true));
        assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 98));
    }

    #[test]
    fn what_is_not_known_is_passed_on() {
        for (from, servers, netns) in
            [(2, "192.0.2.1:53", false), (4, "10.1.0.53:53", true), (200, "192.0.2.1:53", false)]
        {
            match ask("example.org.", RecordType::A, from, false) {
                Reply::PassOn(_, upstream) => {
                    assert_eq!(upstream.servers, [servers.parse().unwrap()]);
                    assert_eq!(upstream.netns.is_some(), netns, "{from}");
                }
                other => panic!("{from}: {other:?}"),
            }
        }
        let refused = heard(ask("example.org.", RecordType::A, 3, false));
        assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
        // Who is in no network knows nobody.
        assert!(matches!(ask("web.", RecordType::A, 200, false), Reply::PassOn(..)));
    }

    #[test]
    fn nobody_else_is_answered() {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii("web.").unwrap(), RecordType::A));
        for from in ["203.0.113.9", "10.1.1.2", "fd00::2"] {
            let said = reply(&directory(), &question.to_vec().unwrap(), from.parse().unwrap(), false, None);
            assert!(matches!(said, Reply::None), "{from}");
        }
    }

    #[test]
    fn nonsense() {
        let of = |bytes: &[u8]| reply(&directory(), bytes, [10, 1, 0, 2].into(), false, None);
        assert!(matches!(of(b""), Reply::None) && matches!(of(b"short"), Reply::None));
        let wrong = heard(of(&[0xff; 40]));
        assert_eq!(wrong.metadata.response_code, ResponseCode::FormErr);
        let mut two = Message::query();
        for _ in 0..2 {
            two.add_query(Query::query(Name::from_ascii("x.").unwrap(), RecordType::A));
        }
        assert_eq!(heard(of(&two.to_vec().unwrap())).metadata.response_code, ResponseCode::FormErr);
        let answer = two.into_response().to_vec().unwrap();
        assert!(matches!(of(&answer), Reply::None));
    }
}
