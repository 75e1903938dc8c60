//! Properties that hold for all elements and all ways to cut a stream.

use proptest::prelude::*;

use super::generator::{Random, mutate, seeds};
use super::{HEADER, pieces, stream};
use crate::{CONTENT_NS, Element, Limits, Reader, Writer};

/// A tree to be written.
#[derive(Clone, Debug)]
struct Tree {
    name: String,
    ns: String,
    attrs: Vec<(String, String)>,
    text: String,
    children: Vec<Tree>,
}

fn write(writer: &mut Writer, tree: &Tree) {
    writer.start(&tree.name, &tree.ns);
    let mut seen = Vec::new();
    for (name, value) in &tree.attrs {
        if !seen.contains(&name) && name != "xmlns" {
            writer.attr(name, value);
            seen.push(name);
        }
    }
    writer.text(&tree.text);
    for child in &tree.children {
        write(writer, child);
    }
    writer.end();
}

fn trees() -> impl Strategy<Value = Tree> {
    let name = "[a-zA-Z_é][a-zA-Z0-9._é-]{0,5}";
    let ns = prop_oneof![
        Just(CONTENT_NS.to_owned()),
        Just(String::new()),
        Just("jabber:server".to_owned()),
        "[a-d&'<]{1,2}"
    ];
    let attr = prop_oneof![name, Just("xml:lang".to_owned())];
    let leaf = (
        name,
        ns.clone(),
        prop::collection::vec((attr, any::<String>()), 0..4),
        any::<String>(),
    );
    let leaf = leaf.prop_map(|(name, ns, attrs, text)| Tree {
        name,
        ns,
        attrs,
        text,
        children: Vec::new(),
    });
    leaf.prop_recursive(6, 40, 10, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..10)).prop_map(|(mut tree, children)| {
            tree.children = children;
            tree
        })
    })
}

proptest! {
    // A failing case is printed; no file of them is kept beside the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What the writer writes is canonical: reading it changes nothing, and the index is the same either way.
    #[test]
    fn reading_what_was_written_is_the_identity(tree in trees()) {
        let mut writer = Writer::new();
        write(&mut writer, &tree);
        let written = writer.finish_element().unwrap();
        let read = Element::parse(written.as_str()).unwrap();
        prop_assert_eq!(read.as_str(), written.as_str());
        let index = |element: &Element| -> Vec<_> {
            element.children().map(|c| (c.name().to_owned(), c.ns().to_owned(), c.xml().to_owned())).collect()
        };
        prop_assert_eq!(index(&read), index(&written));
        prop_assert_eq!(read.tail(), written.tail());
        prop_assert_eq!(read.el().to_xml(), written.as_str());
        for (child, wanted) in read.children().zip(&tree.children) {
            prop_assert_eq!(child.name(), &wanted.name);
            let own = child.to_element();
            prop_assert_eq!(own.ns(), child.ns());
            prop_assert_eq!(&Element::parse(own.as_str()).unwrap(), &own);
        }
    }

    /// Attributes and text come back as they were given, but for what XML cannot carry.
    #[test]
    fn values_survive(value in any::<String>()) {
        let carried: String = value.chars().map(|c| if crate::chars::is_char(c) { c } else { '\u{FFFD}' }).collect();
        let written = Writer::new().start("a", CONTENT_NS).attr("b", &value).text(&value).finish_string();
        let read = Element::parse(&written).unwrap();
        prop_assert_eq!(read.attr("b").unwrap(), carried.as_str());
        prop_assert_eq!(read.text(), carried.as_str());
    }

    /// However a stream is cut, the same frames come out, and the same error if there is one.
    #[test]
    fn cutting_changes_nothing(seed in any::<u64>(), cuts in prop::collection::vec(1usize..30, 1..20)) {
        let mut random = Random::new(seed);
        let seeds = seeds();
        let mut xml = HEADER.as_bytes().to_vec();
        for _ in 0..random.below(4) {
            let stanza = random.pick(&seeds);
            xml.extend(if random.below(3) == 0 { mutate(&mut random, stanza) } else { stanza.to_vec() });
        }
        xml.extend_from_slice(b"</stream:stream>");
        let reader = || Reader::stream(Limits { depth_max: 5, ..Limits::default() }, CONTENT_NS);
        let whole = pieces(reader(), [&xml[..]]);
        let mut rest = &xml[..];
        let mut cut = Vec::new();
        for len in cuts.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*len));
            cut.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(pieces(reader(), cut), whole.clone());
        prop_assert_eq!(pieces(reader(), xml.chunks(1)), whole);
    }

    /// Nothing panics on any bytes, inside a stream or at its start.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = stream(&bytes);
        let _ = stream([HEADER.as_bytes(), b"<a>", &bytes[..]].concat());
        let _ = stream([HEADER.as_bytes(), b"<a b='", &bytes[..]].concat());
    }
}
