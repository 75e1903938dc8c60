//! Queries of archives (XEP-0313).

use kim_core::clock::Timestamp;
use kim_core::jid::Jid;
use kim_core::wire::Element;
use kim_xep::xep0313_mam::api::ArchiveQuery;

pub fn check(data: &[u8]) {
    let Some(element) = super::element(data) else {
        return;
    };
    let Ok(query) = ArchiveQuery::parse(element.el()) else {
        return;
    };
    let again = Element::parse(element.as_str()).unwrap();
    assert_eq!(ArchiveQuery::parse(again.el()).ok().as_ref(), Some(&query));
    if let Some(with) = &query.with {
        assert_eq!(Jid::parse(with.as_str()).as_ref(), Ok(with));
    }
    for time in [query.start, query.end].into_iter().flatten() {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
    }
    assert!(
        query.ids.len() <= 100,
        "docs/security.md bounds what is asked for at once"
    );
    let ids = [&query.after_id, &query.before_id, &query.page.after];
    for id in ids.into_iter().flatten().chain(&query.ids) {
        assert!(!id.is_empty() && id.trim() == id, "{id:?}");
    }
}
