//! Which page is asked for (XEP-0059), and that page of a list.

use kim_core::wire::{Element, Writer};
use kim_xep::xep0059_rsm::api::{Asked, NS, page_of};

const PAGE_MAX: usize = 5;

pub fn check(data: &[u8]) {
    let Some(request) = super::element(data) else {
        return;
    };
    let Ok(asked) = Asked::parse(request.el()) else {
        return;
    };
    assert_ne!(
        asked.after.as_deref(),
        Some(""),
        "behind nothing is from the beginning"
    );
    for length in [0, 1, 4, 9, 30] {
        page(length, &asked);
    }
}

fn page(length: usize, asked: &Asked) {
    let all: Vec<usize> = (0..length).collect();
    let place = |id: &str| all.iter().position(|item| item.to_string() == id);
    let before = asked.before.as_deref().filter(|id| !id.is_empty());
    let is_known = [asked.after.as_deref(), before]
        .into_iter()
        .flatten()
        .all(|id| place(id).is_some());
    let Ok((page, given)) = page_of(&all, usize::to_string, asked, 3, PAGE_MAX) else {
        assert!(!is_known, "a page is refused for nothing but an unknown id");
        return;
    };
    assert!(is_known);
    assert!(page.len() <= PAGE_MAX.min(asked.max.unwrap_or(3)));
    let from = asked.after.as_deref().and_then(place).map_or(0, |at| at + 1);
    let to = before.and_then(place).unwrap_or(length);
    // Neither end is passed, nothing in between is left out, and the page lies at the end that was asked for.
    let within = all.get(from..to).unwrap_or_default();
    match asked.before {
        Some(_) => assert!(within.ends_with(page)),
        None => assert!(within.starts_with(page)),
    }
    let is_whole = within.len() <= PAGE_MAX.min(asked.max.unwrap_or(3));
    assert_eq!(page.len() == within.len(), is_whole);
    assert_eq!(given.count, Some(length));

    let mut xml = Writer::new();
    given.write(&mut xml);
    let set = Element::parse(&xml.finish_string()).unwrap();
    let told = |name| set.child(name, NS).map(|child| child.text().into_owned());
    let ends = [page.first(), page.last()].map(|end| end.map(usize::to_string));
    assert_eq!([told("first"), told("last")], ends);
    assert_eq!(told("count"), Some(length.to_string()));
}
