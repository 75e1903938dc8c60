//! XML as the reader takes it (RFC 6120 §11), in streams and in documents.
//!
//! The first line of an input says how the rest is fed: `s` first for a stream, anything else for documents; each
//! further byte gives the length of a piece (its low six bits and one more), in turn.

use bytes::BytesMut;
use kim_core::wire::{CONTENT_NS, El, Element, Frame, Limits, Reader, WireError, Writer};

const LIMITS: Limits = Limits {
    stanza_bytes_max: 2000,
    depth_max: 10,
    attributes_max: 8,
    name_bytes_max: 32,
    namespaces_max: 6,
    children_max: 12,
    header_bytes_max: 600,
    space_counts: true,
};

type Outcome = (Vec<Frame>, Result<(), WireError>);

fn feed<'a>(streaming: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = match streaming {
        true => Reader::stream(LIMITS, CONTENT_NS),
        false => Reader::documents(LIMITS, CONTENT_NS),
    };
    let (mut frames, mut input) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        reader.release();
    }
    (frames, Ok(()))
}

/// Panics if something does not hold.
pub fn check(data: &[u8]) {
    let line = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (first, xml) = (&data[..line], data.get(line + 1..).unwrap_or_default());
    let streaming = first.first() == Some(&b's');
    let whole = feed(streaming, std::iter::once(xml));

    let mut lengths = first.iter().skip(1).map(|b| usize::from(b & 63) + 1).cycle();
    let mut rest = xml;
    let pieces = std::iter::from_fn(|| {
        let (piece, after) = rest.split_at(rest.len().min(lengths.next().unwrap_or(1)));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(feed(streaming, pieces), whole, "cutting changes nothing");

    for frame in &whole.0 {
        match frame {
            Frame::Element(element) => check_element(element),
            Frame::Open(header) => {
                for (name, value) in header.attrs() {
                    assert_eq!(header.attr(name).as_deref(), Some(&*value));
                }
            }
            Frame::Close => assert!(streaming),
        }
    }
}

fn parse(xml: &str) -> Element {
    Element::parse(xml).unwrap_or_else(|error| panic!("{error}: {xml}"))
}

/// An element as its index has it.
fn index(element: &Element) -> Vec<(&str, &str, &str)> {
    element
        .children()
        .map(|child| (child.name(), child.ns(), child.xml()))
        .collect()
}

fn check_element(element: &Element) {
    assert!(element.as_str().len() <= LIMITS.stanza_bytes_max);
    let again = parse(element.as_str());
    assert_eq!(again.as_str(), element.as_str(), "canonical form stays as it is");
    assert_eq!(
        (again.name(), again.ns(), index(&again)),
        (element.name(), element.ns(), index(element))
    );
    let walked: Vec<_> = element
        .el()
        .children()
        .map(|child| (child.name(), child.ns(), child.xml()))
        .collect();
    assert_eq!(walked, index(element), "the index says what a walk finds");
    assert!(element.as_str().as_bytes().ends_with(&element.tail()));

    let mut todo = vec![element.el()];
    while let Some(el) = todo.pop() {
        check_el(el);
        todo.extend(el.children());
    }

    // Written anew, as the router does it: own attributes first, the rest and the content as they were.
    let set = element.with_attr("from", Some("a@b/<'&\">"));
    assert_eq!(parse(set.as_str()), set);
    assert_eq!(set.attr("from").as_deref(), Some("a@b/<'&\">"));
    assert_eq!(index(&set), index(element));
    assert_eq!(set.with_attr("from", None), element.with_attr("from", None));
}

fn check_el(el: El<'_>) {
    for (name, value) in el.attrs() {
        assert_eq!(el.attr(name), Some(value));
    }
    let alone = el.to_element();
    assert_eq!(
        (alone.name(), alone.ns(), alone.text()),
        (el.name(), el.ns(), el.text())
    );
    assert!(
        alone
            .children()
            .map(|child| child.xml())
            .eq(el.children().map(|child| child.xml()))
    );
    assert_eq!(parse(alone.as_str()).ns(), el.ns());

    // Inside elements of other namespaces it stays what it is.
    for ns in [CONTENT_NS, "", "u", el.ns()] {
        let mut writer = Writer::new();
        let wrapped = writer
            .start("wrap", ns)
            .el(el)
            .raw(alone.as_str())
            .finish_element();
        let wrapped = wrapped.unwrap_or_else(|| panic!("not one element around {}", el.xml()));
        let read = parse(wrapped.as_str());
        assert_eq!(index(&read), index(&wrapped));
        for inner in read.children() {
            assert_eq!(
                (inner.name(), inner.ns(), inner.text()),
                (el.name(), el.ns(), el.text())
            );
        }
        assert_eq!(read.children().count(), 2);
    }
}
