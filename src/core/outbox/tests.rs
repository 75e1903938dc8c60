//! What is kept until it is confirmed, and in which order it is written again.

use super::*;
use crate::stanza::{Kind, MessageType};

const NOW: Timestamp = Timestamp(1);

fn terms(stanzas_max: usize, bytes_max: usize) -> Terms {
    Terms {
        request: "<r/>".into(),
        stanzas_max,
        bytes_max,
    }
}

fn stanza(id: u32) -> Arc<Stanza> {
    Arc::new(Stanza::new(Kind::Message(MessageType::Chat), "").id(id.to_string()))
}

fn kept(stanzas_max: usize, bytes_max: usize) -> Outbox {
    let outbox = Outbox::new(bytes_max);
    outbox.keep("<on/>".into(), terms(stanzas_max, bytes_max));
    outbox
}

/// What would be written: ids of stanzas, and words as they are.
fn written(outbox: &Outbox) -> Vec<String> {
    let parcels = outbox.take_some(usize::MAX).parcels;
    let shown = |parcel: &Parcel| match &parcel.stanza {
        Some(stanza) => stanza.id.as_deref().unwrap_or_default().to_owned(),
        None => String::from_utf8_lossy(&parcel.head).into_owned(),
    };
    parcels.iter().map(shown).collect()
}

#[test]
fn counting_begins_behind_the_opening() {
    let outbox = Outbox::new(10_000);
    outbox.push(stanza(1), NOW).unwrap();
    outbox.keep("<on/>".into(), terms(10, 10_000));
    outbox.push(stanza(2), NOW).unwrap();
    // So far nobody could go on with it.
    assert!(!outbox.park());
    let outbox = Outbox::new(10_000);
    outbox.push(stanza(1), NOW).unwrap();
    outbox.keep("<on/>".into(), terms(10, 10_000));
    outbox.push(stanza(2), NOW).unwrap();
    let taken = outbox.take_some(usize::MAX);
    // The taker's: what came before, and the opening.
    assert_eq!((taken.parcels.len(), taken.unkept), (4, 2));
    assert_eq!(outbox.kept_stanzas(), 1);
    assert_eq!(outbox.judge(1), Confirmation::Fits);
    assert_eq!(outbox.judge(2), Confirmation::TooHigh { sent: 1 });
    assert!(outbox.park());
}

#[test]
fn numbers_go_on_at_nought_after_the_last() {
    // XEP-0198 §4: 2³² − 1 is followed by 0.
    let outbox = kept(100, 100_000);
    written(&outbox);
    lock(&outbox.queue).kept.as_mut().unwrap().sent = u32::MAX - 1;
    for id in 1..=4 {
        outbox.push(stanza(id), NOW).unwrap();
    }
    assert_eq!(written(&outbox), ["1", "2", "3", "4", "<r/>"]);
    assert_eq!(outbox.confirm(3), Confirmation::TooHigh { sent: 2 });
    assert_eq!(outbox.confirm(u32::MAX - 2), Confirmation::Stale);
    assert_eq!(outbox.confirm(u32::MAX), Confirmation::Fits);
    assert_eq!(outbox.kept_stanzas(), 3);
    assert_eq!(outbox.confirm(0), Confirmation::Fits);
    assert_eq!(outbox.confirm(u32::MAX), Confirmation::Stale);
    assert!(outbox.park());
    outbox.unpark(|_| ());
    assert_eq!(written(&outbox), ["3", "4", "<r/>"]);
    assert_eq!(outbox.confirm(2), Confirmation::Fits);
    assert_eq!(outbox.kept_stanzas(), 0);
}

#[test]
fn the_window_shuts_and_opens() {
    let outbox = kept(2, 100_000);
    for id in 1..=5 {
        outbox.push(stanza(id), NOW).unwrap();
    }
    assert_eq!(written(&outbox), ["<on/>", "1", "2", "<r/>"]);
    assert_eq!(written(&outbox), [""; 0]);
    let question = outbox.unanswered();
    assert!(question.is_some());
    // Words pass, and an answer without news is asked for again, but is no sign of life.
    assert_eq!(outbox.confirm(0), Confirmation::Fits);
    assert_eq!(outbox.unanswered(), question);
    assert_eq!(written(&outbox), ["<r/>"]);
    assert_eq!(outbox.confirm(1), Confirmation::Fits);
    assert_ne!(outbox.unanswered(), question);
    assert_eq!(written(&outbox), ["<r/>", "3"]);
    assert_eq!(outbox.confirm(3), Confirmation::Fits);
    assert_eq!(outbox.unanswered(), None);
    assert_eq!(written(&outbox), ["4", "5", "<r/>"]);
    // At the end there is nothing to wait for.
    for id in 6..=8 {
        outbox.push(stanza(id), NOW).unwrap();
    }
    outbox.close(StreamCondition::SystemShutdown.into());
    let taken = outbox.take_some(usize::MAX);
    assert_eq!((taken.parcels.len(), taken.unkept), (3, 0));
    assert!(taken.closing.is_some());
}

#[test]
fn what_waits_without_a_connection_is_bounded_and_complete() {
    let outbox = kept(3, 100_000);
    outbox.push(stanza(1), NOW).unwrap();
    written(&outbox);
    outbox.say("<a/>");
    assert!(outbox.park());
    outbox.say("<a/>");
    for id in 2..=3 {
        outbox.push(stanza(id), NOW).unwrap();
    }
    assert!(!outbox.is_closed());
    // The one too many is the last in line; what comes after it has to go elsewhere.
    assert_eq!(outbox.push(stanza(4), NOW), Ok(()));
    assert!(outbox.is_closed());
    assert_eq!(outbox.push(stanza(5), NOW), Err(Refused::Closed));
    assert_eq!(outbox.queued_bytes(), 3 * Parcel::of(stanza(1), NOW).bytes());
    let ids = |parcel: &Parcel| parcel.stanza.as_ref().and_then(|stanza| stanza.id.clone());
    let all: Vec<_> = outbox.take().0.iter().filter_map(ids).collect();
    assert_eq!(
        all.iter().map(|id| &**id).collect::<Vec<_>>(),
        ["1", "2", "3", "4"]
    );
    // In bytes too.
    let weight = Parcel::of(stanza(1), NOW).bytes();
    let outbox = kept(1_000, "<on/>".len() + 3 * weight);
    for id in 1..=3 {
        outbox.push(stanza(id), NOW).unwrap();
    }
    written(&outbox);
    assert_eq!(outbox.queued_bytes(), 0);
    outbox.push(stanza(4), NOW).unwrap();
    assert!(outbox.is_closed());
}

#[test]
fn an_outbox_that_keeps_nothing_is_as_it_was() {
    let outbox = Outbox::new(100);
    outbox.push(stanza(1), NOW).unwrap();
    let taken = outbox.take_some(usize::MAX);
    assert_eq!((taken.parcels.len(), taken.unkept), (1, 1));
    assert_eq!(outbox.confirm(0), Confirmation::Unasked);
    assert!(!outbox.park());
    while outbox.push(stanza(2), NOW).is_ok() {}
    assert!(outbox.is_closed());
    assert!(outbox.queued_bytes() <= 100);
}
